"""A last layer: what turns features into logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._archives import (
    load_safetensors,
    read_npz,
    save_safetensors,
    write_npz,
)
from everyclass.artifacts._checks import as_float32, as_floats
from everyclass.artifacts._settings import check_number
from everyclass.errors import FileFormatError, InputError, naming

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
        weight = as_float32(as_floats(self.weight, name="weight", ndim=(2,)), name="weight")
        bias = as_float32(as_floats(self.bias, name="bias", ndim=(1,)), name="bias")
        if len(bias) != len(weight):
            turned = weight.shape[1] == len(bias)
            raise InputError(
                f"The head's weight has {len(weight)} classes and its bias {len(bias)}"
                f"{': it lies on its side; give weight.T' if turned else ''}."
            )
        if self.kind not in ("linear", "cosine"):
            raise InputError(f"A head is 'linear' or 'cosine'; got {self.kind!r}.")
        scale = check_number("The scale of a head", self.scale, above=0)
        if self.kind == "linear" and scale != 1:
            raise InputError(
                f"A linear head has no scale, and {scale:g} is given; say kind='cosine' if its "
                "features and weights are of unit length, or leave the scale out."
            )
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)
        object.__setattr__(self, "scale", scale)

    def __repr__(self) -> str:
        scale = "" if self.kind == "linear" else f", scale {self.scale:g}"
        return f"Head({self.num_classes:,} × {self.num_features:,}, {self.kind}{scale})"

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.weight)

    @property
    def num_features(self) -> int:
        """d, the width of the features that it takes."""
        return int(self.weight.shape[1])

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
            weight = self.scale * _unit(weight)
            features = _unit(features)
        return features @ weight.T + self.bias

    def at_temperature(self, temperature: float) -> Head:
        """The head whose logits are divided by a temperature > 0; its answers are the same."""
        bias = self.bias / np.float32(temperature)
        if self.kind == "cosine":
            return replace(self, scale=self.scale / temperature, bias=bias)
        return replace(self, weight=self.weight / np.float32(temperature), bias=bias)

    def save(self, path: str | Path) -> None:
        """Write ``.safetensors`` or ``.npz``, by the name's ending.

        Raises:
            InputError: the name ends otherwise.
            OutputError: no permission, or no space.
        """
        ending = Path(path).suffix.lower()
        arrays = {"weight": self.weight, "bias": self.bias}
        if ending == ".safetensors":
            save_safetensors(path, arrays, {"kind": self.kind, "scale": repr(self.scale)})
        elif ending == ".npz":
            write_npz(path, {**arrays, **self._extra()})
        else:
            raise InputError(
                f"{path} has to end in .safetensors or .npz, which heads are written as."
            )

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
        if path.suffix.lower() == ".safetensors":
            arrays, extra = load_safetensors(path, "head file")
        else:
            arrays = read_npz(path, "head file")
            extra = arrays
        if "weight" not in arrays:
            raise FileFormatError(
                f"{path} has no array 'weight' (C × d); it has {', '.join(arrays) or 'nothing'}."
            )
        with naming(path):
            return cls._stored(arrays, extra)

    @classmethod
    def _stored(cls, arrays: Mapping[str, npt.NDArray[Any]], extra: Mapping[str, Any]) -> Head:
        """A head from the arrays of a file, and from its words where those are kept apart."""
        weight = arrays["weight"]
        bias = arrays.get("bias", np.zeros(weight.shape[:1], dtype=np.float32))
        said = extra.get("scale", 1.0)
        try:
            scale = float(np.asarray(said).item())
        except (TypeError, ValueError) as error:
            raise FileFormatError(
                f"The scale of the head is {said}; it must be a number."
            ) from error
        return cls(weight, bias, kind=str(extra.get("kind", "linear")), scale=scale)  # type: ignore[arg-type]


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows of length one; a row of zeros stays as it is (the bound is torch's)."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.maximum(norm, np.float32(1e-12))
