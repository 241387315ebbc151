"""From files of predictions to an evaluation, in one pass and with little memory."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import (
    ClassCounts,
    Evaluation,
    PredictionStream,
    RepeatedIds,
    Scores,
    quoted,
    some,
)
from everyclass.errors import InputError, naming
from everyclass.metrics.state import EvaluationState
from everyclass.metrics.state_files import holds_state
from everyclass.progress import Progress, silent

__all__ = ["evaluation_of_file", "state_of_files"]

_LARGE = 1 << 26  # bytes of a file from which on progress is shown


def state_of_files(
    *paths: str | Path,
    scores: Scores | None = None,
    labels: str | Path | None = None,
    labels_column: str = "labels",
    predicted_column: str = "predicted",
    class_names: Sequence[str] | None = None,
    class_counts: Any = None,
    show: Progress = silent,
) -> EvaluationState:
    """Judge the predictions of one file, or of several that are parts of one set.

    Files are read in pieces, so they may be far larger than memory. Ids are compared within
    and between files, up to four million. Two files without ids that have the same true classes in
    the same order are taken together with a warning: they look like two classifiers' answers on the
    same images.

    Args:
        paths: ``.npz``, ``.npy``, ``.safetensors``, ``.csv``, ``.parquet``, in the forms that
            :meth:`Predictions.load` reads; or states that :meth:`EvaluationState.save` wrote.
        scores: what an ``.npy``, an array called ``scores``, or columns named as classes hold:
            "logits" or "probs".
        labels: an ``.npy`` of the true classes, for one array file without any.
        labels_column, predicted_column: columns of a table.
        class_names: C names. Without them, names in a table's ``labels`` are collected in a pass
            of its own, and several tables must hold the same.
        class_counts: training images per class: what :meth:`ClassCounts.of` takes, or the path of
            a file that :meth:`ClassCounts.load` reads.
        show: shows progress; :data:`everyclass.progress.silent` or ``progress``.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not such a file, or without what is needed.
        InputError: what the files hold does not fit together, or an image or a file is there
            twice.

    Example:
        >>> import tempfile
        >>> from everyclass import Predictions
        >>> folder = Path(tempfile.mkdtemp())
        >>> for part, said in enumerate([[0, 0], [1, 1]]):
        ...     Predictions([part, 1], predicted=said).save(folder / f"{part}.npz")
        >>> state_of_files(folder / "0.npz", folder / "1.npz").evaluation().accuracy
        0.75
    """
    if labels is not None and len(paths) != 1:
        raise InputError(f"labels (--labels) goes with one file of predictions; got {len(paths)}.")
    _check_each_once(paths)
    state = EvaluationState(class_names=class_names)
    same, ids = _SameLabels(), RepeatedIds()
    for path in paths:
        if holds_state(path):
            if labels is not None:
                raise InputError(
                    f"{path} is a saved state, which holds no single images that labels (--labels) "
                    "could go with; leave labels out."
                )
            stored = EvaluationState.load(path)
            with naming(path):
                state.merge(stored)
            continue
        stream = PredictionStream(
            path,
            scores=scores,
            labels=labels,
            labels_column=labels_column,
            predicted_column=predicted_column,
            class_names=class_names,
            ids=ids,
        )
        _judge(state, stream, same, show)
        other = same.before(stream.path)
        if other is not None and not {other, stream.path} <= {*ids.files}:
            warnings.warn(
                f"{other} and {path} hold the same true classes in the same order, and are judged "
                "as parts of one set, which hold different images; to compare two classifiers on "
                f"the same images: everyclass compare {other} {path}",
                stacklevel=2,
            )
    ids.check()
    with naming(some(paths, most=3, width=400)):
        state.check()
    if isinstance(class_counts, str | Path):
        place = class_counts
        class_counts = ClassCounts.load(place, names=state.class_names)
        if state.class_names is None and class_counts.names is not None:
            warnings.warn(
                f"The classes are numbers, and are named in the order in which {place} has them: "
                f"class 0 is {quoted(class_counts.names[0])}; say the order with class_names "
                "(--class-names) to be sure of it.",
                stacklevel=2,
            )
    if class_counts is not None:
        state.class_counts = class_counts
    return state


def _check_each_once(paths: Sequence[str | Path]) -> None:
    seen: dict[str, str | Path] = {}
    for path in paths:
        place = os.path.realpath(path)
        if place in seen:
            same = str(seen[place]) == str(path)
            twice = f"{path} is given twice" if same else f"{seen[place]} and {path} are one file"
            raise InputError(f"{twice}, and its images would count twice; name each file once.")
        seen[place] = path


class _SameLabels:
    """Finds files with the same true classes in the same order.

    Parts of one class each are no such files: they may well be of one length.
    """

    def __init__(self) -> None:
        self._files: dict[bytes, Path] = {}
        self._begin()

    def _begin(self) -> None:
        self._digest = hashlib.sha256()
        self._classes: set[int] = set()

    def see(self, labels: npt.NDArray[np.int64]) -> None:
        """Take the next labels of the file at hand."""
        self._digest.update(labels.tobytes())
        self._classes |= {int(labels.min()), int(labels.max())}

    def before(self, path: Path) -> Path | None:
        """End the file at hand, at ``path``, and return the one before with the same labels."""
        digest, several = self._digest.digest(), len(self._classes) > 1
        self._begin()
        if not several:
            return None
        first = self._files.setdefault(digest, path)
        return None if first is path else first


def _judge(
    state: EvaluationState, stream: PredictionStream, same: _SameLabels, show: Progress
) -> None:
    shown = show if stream.path.stat().st_size >= _LARGE else silent
    with shown(f"judging {stream.path.name}", stream.total, stream.unit) as task:
        done = 0
        for part in stream:
            with naming(stream.path):
                state.update(part)
            same.see(part.labels)
            task.advance(stream.done - done)
            done = stream.done


def evaluation_of_file(path: str | Path, *, zero_floor: float = 1e-3, **options: Any) -> Evaluation:
    """An evaluation from whatever holds one: a ``.json`` of it, predictions, or a saved state.

    Args:
        path: the file.
        zero_floor: as in ``evaluate``.
        options: as in :func:`state_of_files`.
    """
    if Path(path).suffix.lower() == ".json":
        return Evaluation.load(path)
    return state_of_files(path, **options).evaluation(zero_floor=zero_floor)
