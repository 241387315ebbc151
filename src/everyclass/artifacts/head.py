"""A last layer: what turns features into logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._checks import as_floats
from everyclass.artifacts._files import load_safetensors, read_npz, save_safetensors, write_npz
from everyclass.errors import FileFormatError, InputError

__all__ = ["Head", "HeadKind"]

HeadKind = Literal["linear", "cosine"]


@dataclass(frozen=True, eq=False)
class Head:
    """Weights of a last layer.

    linear: logits = f Wᵀ + b;
    cosine: logits = scale · (f / ‖f‖) (W / ‖W‖)ᵀ + b.

    Attributes:
        weight: (C, d) float32.
        bias: (C,) float32; zeros where the layer has none.
        kind: "linear" or "cosine".
        scale: of a cosine head; 1 for a linear one.

    Example:
        >>> head = Head(np.eye(3), np.zeros(3))
        >>> head.logits(np.array([[0.0, 2.0, 1.0]])).argmax(axis=1)
        array([1])
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    kind: HeadKind = "linear"
    scale: float = 1.0

    def __post_init__(self) -> None:
        weight = as_floats(self.weight, name="weight", ndim=(2,)).astype(np.float32)
        bias = as_floats(self.bias, name="bias", ndim=(1,)).astype(np.float32)
        if len(bias) != len(weight):
            raise InputError(
                f"The head's weight has {len(weight)} classes and its bias {len(bias)}."
            )
        if self.kind not in ("linear", "cosine"):
            raise InputError(f"A head is 'linear' or 'cosine'; got {self.kind!r}.")
        if not np.isfinite(self.scale) or self.scale <= 0:
            raise InputError(f"The scale of a head must be positive; got {self.scale}.")
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.weight)

    @property
    def num_features(self) -> int:
        """d, the width of the features that it takes."""
        return self.weight.shape[1]

    def logits(self, features: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Logits of features: (…, d) → (…, C) float32.

        Raises:
            InputError: the features have another width.
        """
        if features.shape[-1] != self.num_features:
            raise InputError(
                f"The head takes features of width {self.num_features} and these have "
                f"{features.shape[-1]}: it belongs to another network."
            )
        features = features.astype(np.float32, copy=False)
        weight = self.weight
        if self.kind == "cosine":
            tiny = np.finfo(np.float32).tiny
            weight = weight / np.maximum(np.linalg.norm(weight, axis=1, keepdims=True), tiny)
            norm = np.linalg.norm(features, axis=-1, keepdims=True)
            features = features * (self.scale / np.maximum(norm, tiny))
        return features @ weight.T + self.bias

    def save(self, path: str | Path) -> None:
        """Write ``.safetensors`` or ``.npz``, by the name's ending."""
        path = Path(path)
        arrays = {"weight": self.weight, "bias": self.bias}
        if path.suffix == ".safetensors":
            save_safetensors(path, arrays, {"kind": self.kind, "scale": repr(self.scale)})
        else:
            write_npz(path, {**arrays, **self._extra()})

    def _extra(self) -> dict[str, npt.NDArray[Any]]:
        if self.kind == "linear":
            return {}
        return {"kind": np.array(self.kind), "scale": np.array(self.scale)}

    @classmethod
    def load(cls, path: str | Path) -> Head:
        """Read ``.safetensors`` or ``.npz`` with ``weight`` (C × d) and ``bias`` (C).

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not such a file, or without those arrays.
            InputError: the arrays do not fit each other.
        """
        path = Path(path)
        extra: Mapping[str, Any]
        if path.suffix == ".safetensors":
            arrays, extra = load_safetensors(path, "head file")
        else:
            arrays = read_npz(path, "head file")
            extra = arrays
        if "weight" not in arrays:
            raise FileFormatError(
                f"{path} has no array 'weight' (C × d); it has {', '.join(arrays) or 'nothing'}."
            )
        weight = arrays["weight"]
        bias = arrays.get("bias", np.zeros(len(weight), dtype=np.float32))
        kind = str(extra.get("kind", "linear"))
        return cls(weight, bias, kind=kind, scale=float(extra.get("scale", 1.0)))  # type: ignore[arg-type]
