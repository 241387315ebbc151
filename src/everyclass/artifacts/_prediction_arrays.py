"""Predictions in files of arrays: ``.npz``, ``.safetensors``, or ``.npy`` with labels beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from everyclass.artifacts._checks import stored_names
from everyclass.artifacts._memory import free_memory
from everyclass.artifacts._pieces import StoredArray, open_arrays, open_npy
from everyclass.artifacts._text import some
from everyclass.errors import EveryclassError, FileFormatError, InputError

__all__ = ["ArraySource", "lacks_labels"]

_SCORES = ("logits", "probs")
_OUTPUTS = (*_SCORES, "predicted")


def lacks_labels(path: Path) -> bool:
    """Whether a file holds arrays and no true classes, so that a file of labels goes with it.

    False where it cannot be read: who reads it says what is wrong with it.
    """
    ending = path.suffix.lower()
    if ending not in (".npz", ".safetensors"):
        return ending == ".npy"
    try:
        return "labels" not in open_arrays(path, "predictions file")
    except EveryclassError:
        return False


class ArraySource:
    """Reads a file of arrays row by row.

    Args:
        path: ``.npz`` or ``.safetensors`` with ``labels`` and ``logits``, ``probs`` or
            ``predicted``; or an ``.npy`` with one of these three. Scores go before ``predicted``.
        scores: what an array called ``scores``, or an ``.npy``, holds; chooses where there are both
            logits and probs.
        labels: an ``.npy`` with the labels, where the file has none.
    """

    unit = "rows"

    def __init__(
        self, path: Path, scores: Literal["logits", "probs"] | None, labels: Path | None
    ) -> None:
        self.path = path
        if path.suffix.lower() == ".npy":
            arrays = {_kind_of_npy(path, scores): open_npy(path, "predictions file")}
        else:
            arrays = open_arrays(path, "predictions file")
        if "scores" in arrays and scores is not None and scores not in arrays:
            arrays[scores] = arrays.pop("scores")
        if labels is not None:
            if "labels" in arrays:
                raise FileFormatError(f"{path} has labels of its own; leave labels (--labels) out.")
            if labels.suffix.lower() != ".npy":
                raise FileFormatError(f"{labels} is no .npy file; save labels with numpy.save.")
            arrays["labels"] = open_npy(labels, "labels file")
        self._check_names(arrays)
        output = self._chosen(arrays, scores)
        per_row = ("labels", output, "ids")
        self._per_row = {name: arrays[name] for name in per_row if name in arrays}
        self.total = self._check_lengths(output)
        self.done = 0
        self.class_names = self._names(arrays)
        counts = arrays.get("class_counts")
        self.class_counts = None if counts is None else counts.whole()

    def _check_names(self, arrays: dict[str, StoredArray]) -> None:
        held = some(list(arrays)) or "nothing"
        if "labels" not in arrays:
            raise FileFormatError(
                f"{self.path} has no array 'labels'; it has {held}: add the true classes, or name "
                "an .npy file of them with labels (--labels)."
            )
        if not set(_OUTPUTS) & set(arrays):
            said = "; say what 'scores' holds, logits or probs, with scores (--scores)"
            raise FileFormatError(
                f"{self.path} has none of the arrays {', '.join(_OUTPUTS)}; it has {held}"
                f"{said if 'scores' in arrays else ''}."
            )

    def _chosen(
        self, arrays: dict[str, StoredArray], scores: Literal["logits", "probs"] | None
    ) -> str:
        """Which array is read of those that say what was predicted: scores say the most."""
        held = [name for name in _SCORES if name in arrays]
        if scores in held:
            return scores
        if len(held) > 1:
            raise FileFormatError(
                f"{self.path} has arrays of {' and '.join(held)}; choose with scores (--scores)."
            )
        if held and scores is not None:
            raise FileFormatError(
                f"{self.path} has the array {held[0]!r} and scores says {scores}; leave scores "
                "(--scores) out."
            )
        return held[0] if held else "predicted"

    def _check_lengths(self, output: str) -> int:
        """Rows there are; a piece of them could not say which array is too short."""
        lengths = {name: (array.shape or (1,))[0] for name, array in self._per_row.items()}
        for name in ("labels", "ids"):
            if name in lengths and lengths[name] != lengths[output]:
                raise InputError(
                    f"{self.path}: {name} has {lengths[name]} entries where {lengths[output]} are "
                    f"needed, one for each row of {output}."
                )
        return lengths[output]

    def _names(self, arrays: dict[str, StoredArray]) -> tuple[str, ...] | None:
        try:
            return stored_names(arrays["class_names"].whole()) if "class_names" in arrays else None
        except InputError as error:
            raise FileFormatError(f"{self.path}: {error}") from error

    def pieces(self, values: int) -> Iterator[dict[str, Any]]:
        """Rows of every array, in order.

        Args:
            values: how many scores to read at once.
        """
        width = max(math.prod(array.shape[1:]) for array in self._per_row.values())
        step = max(1, values // max(1, width))
        for start in range(0, max(1, self.total), step):
            self.done = min(start + step, self.total)
            yield {
                name: array.rows(start, self.done) if array.shape else array.whole()
                for name, array in self._per_row.items()
            }

    def whole(self) -> dict[str, Any]:
        """All rows of every array.

        Raises:
            FileFormatError: there is no memory for them.
        """
        self._check_memory()
        return {name: array.whole() for name, array in self._per_row.items()}

    def _check_memory(self) -> None:
        needed = sum(array.nbytes for array in self._per_row.values())
        if needed > (free := free_memory()):
            raise FileFormatError(
                f"{self.path} unpacks to {needed:,} bytes, more than the {free:,} bytes of free "
                "memory; `everyclass evaluate` reads it in pieces."
            )


def _kind_of_npy(path: Path, scores: Literal["logits", "probs"] | None) -> str:
    array = open_npy(path, "predictions file")
    if len(array.shape) == 1:
        if scores is not None:
            raise FileFormatError(
                f"{path} has one value a row, which is a predicted class; leave scores "
                "(--scores) out."
            )
        return "predicted"
    if scores is None:
        raise FileFormatError(
            f"{path} holds an array of shape {array.shape}; say with scores (--scores) "
            "whether it is logits or probs."
        )
    return scores
