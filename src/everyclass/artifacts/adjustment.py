"""A correction of a finished classifier: one scale and one bias per class."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._archives import read_npz, write_npz
from everyclass.artifacts._checks import as_floats, as_names, stored_names
from everyclass.artifacts._files import (
    plain_json,
    read_json,
    write_json,
)
from everyclass.artifacts._text import quoted
from everyclass.artifacts.head import Head
from everyclass.artifacts.predictions import Predictions
from everyclass.errors import EveryclassError, FileFormatError, InputError, first_line

__all__ = ["Adjustment"]


@dataclass(frozen=True, eq=False)
class Adjustment:
    """Per-class scale and bias on logits: z'_c = scale_c · z_c + bias_c.

    Attributes:
        scale: (C,) float64, positive.
        bias: (C,) float64.
        method: how it was found, such as "bias".
        notes: what is worth knowing about it, as plain values for JSON.
        class_names: C names, or None.

    Example:
        >>> adjustment = Adjustment(scale=[1.0, 1.0], bias=[0.0, 2.0])
        >>> adjustment.apply(np.array([[1.0, 0.0]])).argmax(axis=1)
        array([1])
        >>> head = Head(np.eye(2), np.zeros(2))
        >>> adjustment.fold(head).bias
        array([0., 2.], dtype=float32)
    """

    scale: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    method: str = "by hand"
    notes: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        scale = as_floats(self.scale, name="scale", ndim=(1,)).astype(np.float64)
        bias = as_floats(self.bias, name="bias", ndim=(1,)).astype(np.float64)
        if len(scale) != len(bias):
            raise InputError(
                f"The adjustment has {len(scale)} scales and {len(bias)} biases; one of each per "
                "class is needed."
            )
        if scale.min() <= 0:
            worst = int(scale.argmin())
            raise InputError(f"scale[{worst}] is {scale[worst]:g}; a scale must be positive.")
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "bias", bias)
        object.__setattr__(self, "class_names", as_names(self.class_names, len(bias)))

    def __repr__(self) -> str:
        return f"Adjustment({len(self.bias):,} classes, {self.method})"

    @classmethod
    def nothing(cls, num_classes: int) -> Adjustment:
        """The adjustment that changes nothing."""
        return cls(np.ones(num_classes), np.zeros(num_classes), "none")

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.bias)

    def apply(self, logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        """Adjusted logits: (…, C) → (…, C), float64 for float64 and float32 for narrower ones.

        Raises:
            InputError: another number of classes.
        """
        logits = np.asarray(logits)
        self._check(logits.shape[-1], "The logits have")
        wide = np.float64 if logits.dtype == np.float64 else np.float32
        return logits * self.scale.astype(wide) + self.bias.astype(wide)

    def adjust(self, predictions: Predictions) -> Predictions:
        """The same predictions with adjusted logits.

        Raises:
            InputError: there are no logits, or other classes.
        """
        if predictions.logits is None:
            given = "probabilities" if predictions.probs is not None else "predicted classes"
            raise InputError(
                f"An adjustment works on logits and these are {given}; give the classifier's "
                "logits, or the logarithms of its probabilities as logits."
            )
        for index, (name, known) in enumerate(
            zip(predictions.class_names or (), self.class_names or (), strict=False)
        ):
            if name != known:
                raise InputError(
                    f"Class {index} is {quoted(name)} in these predictions and {quoted(known)} in "
                    "the adjustment: the classes are numbered differently."
                )
        return replace(predictions, logits=self.apply(predictions.logits))

    def fold(self, head: Head) -> Head:
        """The head whose logits are this head's logits, adjusted.

        Raises:
            InputError: another number of classes, or different scales on a cosine head, whose
                weights have no length to take them.
        """
        self._check(head.num_classes, "The head has")
        if head.kind == "linear":
            weight = head.weight * self.scale[:, None].astype(np.float32)
            return replace(head, weight=weight, bias=self._of_bias(head))
        if np.ptp(self.scale) > 1e-9 * self.scale.max():
            raise InputError(
                "A cosine head has one scale for all classes, so an adjustment with a scale per "
                "class cannot be folded into it; use one with biases only."
            )
        scale = float(self.scale[0])
        return replace(head, scale=head.scale * scale, bias=self._of_bias(head))

    def _of_bias(self, head: Head) -> npt.NDArray[np.float32]:
        return (head.bias * self.scale + self.bias).astype(np.float32)

    def _check(self, num_classes: int, what: str) -> None:
        if num_classes != self.num_classes:
            raise InputError(
                f"{what} {num_classes} classes and the adjustment has {self.num_classes}: they "
                "belong to different classifiers."
            )

    def save(self, path: str | Path) -> None:
        """Write ``.json`` or ``.npz``, by the name's ending.

        Raises:
            InputError: the name ends otherwise.
            OutputError: no permission, or no space.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in (".json", ".npz"):
            raise InputError(
                f"{path} has to end in .json or .npz, which adjustments are written as."
            )
        names = None if self.class_names is None else list(self.class_names)
        if ending == ".npz":
            arrays: dict[str, npt.NDArray[Any]] = {"scale": self.scale, "bias": self.bias}
            arrays["method"] = np.array(self.method)
            arrays["notes"] = np.array(json.dumps(plain_json(self.notes)))
            if names is not None:
                arrays["class_names"] = np.array(names)
            write_npz(path, arrays)
            return
        values = {"method": self.method, "scale": self.scale.tolist(), "bias": self.bias.tolist()}
        write_json(path, {"format": 1, **values, "class_names": names, "notes": self.notes})

    @classmethod
    def load(cls, path: str | Path) -> Adjustment:
        """Read what :meth:`save` wrote.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not an adjustment, or damaged.
        """
        path = Path(path)
        packed = path.suffix.lower() == ".npz"
        values = _arrays(path) if packed else read_json(path, "adjustment file")
        missing = [name for name in ("scale", "bias") if name not in values]
        if missing:
            raise FileFormatError(
                f"{path} is no adjustment: it has no {missing[0]!r} (one number per class); it has "
                f"{', '.join(values) or 'nothing'}."
            )
        notes = values.get("notes") or {}
        names = values.get("class_names")
        if not isinstance(notes, dict) or not isinstance(names, list | tuple | None):
            raise FileFormatError(f"{path} is damaged: its notes or class names are of no use.")
        try:
            method = str(values.get("method", "by hand"))
            return cls(values["scale"], values["bias"], method, notes, names)  # type: ignore[arg-type]
        except EveryclassError as error:
            raise FileFormatError(f"{path}: {error}") from error


def _arrays(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = read_npz(path, "adjustment file")
    try:
        values["notes"] = json.loads(str(values.get("notes", "{}")))
        values["class_names"] = stored_names(values.get("class_names"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged: {first_line(error)}.") from error
    return values
