"""A saved evaluation state: one ``.npz`` of counts and sums."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import (
    ClassCounts,
    as_names,
    check_own,
    read_npz,
    stored_names,
    write_npz,
)
from everyclass.errors import EveryclassError, FileFormatError
from everyclass.metrics.classes import Classes
from everyclass.metrics.scores import BINS, ScoreSums

__all__ = ["StoredState", "check_replaceable", "holds_state", "read_state", "write_state"]

_FORMAT = 1
_WHAT = "saved evaluation state"


@dataclass(frozen=True)
class StoredState:
    """What is kept of an ``EvaluationState``.

    Attributes:
        classes: what is known of the classes.
        outcomes: (3, C) images of each class, images given to it, and images that are both.
        pairs: (3, k) true class, predicted class, images; off the diagonal, in rising order.
        scores: sums over images, or None.
        looks_like_probs: whether all that is called logits does; None if nothing is.
        other_numbers: the names where they were numbers, and not those that the classes have.
    """

    classes: Classes
    outcomes: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    scores: ScoreSums | None
    looks_like_probs: bool | None
    other_numbers: Sequence[float] | None = None


def holds_state(path: str | Path) -> bool:
    """Whether a file is a saved state, as far as its list of arrays says."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "evaluation_state.npy" in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def check_replaceable(path: str | Path) -> None:
    """Refuse to write a state over anything else, such as the predictions that it is made of.

    Raises:
        OutputExistsError: something else is there.
    """
    check_own(Path(path), _WHAT, holds_state)


def write_state(path: str | Path, state: StoredState) -> None:
    """Write a state as an ``.npz``, atomically."""
    check_replaceable(path)
    arrays: dict[str, Any] = {
        "evaluation_state": _FORMAT,
        "classes_are_known": state.classes.is_known,
        "outcomes": state.outcomes,
        "pairs": state.pairs,
        "class_names": state.classes.names,
        "class_counts": None if state.classes.training is None else state.classes.training.counts,
        "looks_like_probs": state.looks_like_probs,
        "other_numbers": None
        if state.other_numbers is None
        else np.array(list(state.other_numbers), dtype=np.float64),
        **({} if state.scores is None else asdict(state.scores)),
    }
    write_npz(path, {name: np.array(v) for name, v in arrays.items() if v is not None})


def read_state(path: str | Path) -> StoredState:
    """Read what :func:`write_state` wrote, and check that its counts agree with each other.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not a saved state, of a newer version, or damaged.
    """
    arrays = read_npz(path, _WHAT)
    if "evaluation_state" not in arrays:
        raise FileFormatError(f"{path} is no {_WHAT}; it has {', '.join(arrays) or 'nothing'}.")
    try:
        version = int(arrays["evaluation_state"])
        if version != _FORMAT:
            raise ValueError(f"its format is {version} and this version reads {_FORMAT}")
        outcomes = _checked_outcomes(arrays)
        count = outcomes.shape[1]
        names = as_names(stored_names(arrays.get("class_names")), count)
        counts = arrays.get("class_counts")
        training = counts if counts is None else ClassCounts.of(counts, num_classes=count)
        looks = arrays.get("looks_like_probs")
        return StoredState(
            Classes(count, bool(arrays["classes_are_known"]), names, training),
            outcomes,
            arrays["pairs"].astype(np.int64),
            _checked_sums(arrays, outcomes[0]) if "log_p" in arrays else None,
            None if looks is None else bool(looks),
            _checked_numbers(arrays, names),
        )
    except (ArithmeticError, KeyError, TypeError, ValueError, EveryclassError) as error:
        raise FileFormatError(f"{path} is a damaged {_WHAT}: {error}.") from error


def _checked_numbers(
    arrays: Mapping[str, npt.NDArray[Any]], names: Sequence[str] | None
) -> list[float] | None:
    """The names as the numbers that they were; files of earlier versions do not hold them."""
    numbers = arrays.get("other_numbers")
    if numbers is None:
        return None
    if names is None or numbers.shape != (len(names),) or numbers.dtype != np.float64:
        raise ValueError("other_numbers must be one double for each class name")
    return [float(number) for number in numbers]


def _checked_outcomes(arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    outcomes, pairs = arrays["outcomes"], arrays["pairs"]
    for name, array in (("outcomes", outcomes), ("pairs", pairs)):
        if array.dtype != np.int64 or array.ndim != 2 or len(array) != 3 or (array < 0).any():
            raise ValueError(f"{name} must be three rows of counts")
    support, given, right = outcomes
    labels, predicted, images = pairs
    count = outcomes.shape[1]
    if pairs.size and pairs[:2].max() >= count:
        raise ValueError(f"pairs names class {pairs[:2].max()} and there are {count}")
    for whole, classes in ((support, labels), (given, predicted)):
        wrong = np.zeros(count, dtype=np.int64)
        np.add.at(wrong, classes, images)
        if (whole - right != wrong).any():
            raise ValueError("outcomes and pairs do not add up")
    return outcomes


def _checked_sums(
    arrays: Mapping[str, npt.NDArray[Any]], support: npt.NDArray[np.int64]
) -> ScoreSums:
    shapes = {"confidence": (BINS, 3), "gaps": (len(support), BINS), "log_p": (len(support),)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != np.float64:
            raise ValueError(f"{name} must be doubles of shape {shape}")
    sums = {name: arrays[name] for name in shapes}
    top5, log_loss = int(arrays["top5"]), float(arrays["log_loss"])
    squares = float(arrays["squares"])
    fine = (
        0 <= top5 <= support.sum()
        and sums["confidence"][:, 0].sum() == support.sum()
        and np.isfinite([squares, *sums["confidence"].ravel(), *sums["gaps"].ravel()]).all()
        and log_loss >= 0
        and (sums["log_p"] < np.inf).all()
    )
    if not fine:
        raise ValueError("the sums of scores do not belong to the counts")
    return ScoreSums(top5, log_loss, squares, **sums)
