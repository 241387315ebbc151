"""From predictions of any classifiers to a report of them, and to its file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from everyclass.artifacts import ClassCounts, Comparison, Diagnosis, Predictions
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import GateResult, compare_all
from everyclass.reporting.cards import MOST_CARDS
from everyclass.reporting.data import Report
from everyclass.reporting.html import write_report
from everyclass.reporting.judged import Judged
from everyclass.reporting.markdown import write_comment
from everyclass.reporting.rows import level_of
from everyclass.reporting.same_classes import judged_alike
from everyclass.reporting.thumbnails import Example, Pictures, pictures_of, thumbnail

__all__ = ["Format", "default_title", "report", "report_of", "write_as"]

Format = Literal["html", "md"]
_EXAMPLES = 4


def report(
    predictions: Predictions | Mapping[str, Predictions],
    out: str | Path,
    *,
    baseline: str | None = None,
    show: str | None = None,
    title: str | None = None,
    class_counts: Any = None,
    images: Any = None,
    settings: Mapping[str, Any] | None = None,
    format: Format | None = None,
) -> Path:
    """Write a report of one classifier, or of several on the same images.

    Args:
        predictions: of one, or of several by name.
        out: the file; ``.md`` makes a short comment for a pull request, all else a page.
        baseline: the classifier that the others are compared with; default the first.
        show: the one that is set against it; default the other with the highest harmonic mean.
        title: the heading.
        class_counts: training images per class: what :meth:`ClassCounts.of` takes.
        images: for thumbnails of errors: an array (n, h, w, 3), a folder in which the ids are
            file names, or a function from rows to pictures or arrays. Rows are those of the first
            classifier; another's, which may be in another order, are found there by their ids.
        settings: what else is to be said of how they were made; may be nested.
        format: "html" or "md"; default by the ending of ``out``.

    Returns:
        Where it is.

    Raises:
        InputError: no classifier, not the same images, labels or classes, an unknown name or
            format, or an id that leads out of the folder of images.
        OutputError: no permission, no space, or no such folder.

    Example:
        >>> import tempfile
        >>> said = Predictions([0, 1, 1], predicted=[0, 1, 0], class_names=("cat", "lynx"))
        >>> path = report(said, Path(tempfile.mkdtemp()) / "report.md")
        >>> "The worst of 2 classes" in path.read_text()
        True
    """
    if isinstance(predictions, Predictions):
        predictions = {"the classifier": predictions}
    if not predictions:
        raise InputError("A report needs the predictions of one classifier at least; got none.")
    for name, value in predictions.items():
        if not isinstance(value, Predictions):
            raise InputTypeError(f"{name} is a {type(value).__name__}; give Predictions.")
    if class_counts is not None:
        counts = ClassCounts.of(class_counts)
        predictions = {name: p.with_counts(counts) for name, p in predictions.items()}
    judged = judged_alike(predictions)
    made = report_of(
        judged,
        title=title or default_title(list(judged), baseline),
        baseline=baseline,
        show=show,
        settings=settings or {},
        images=images,
    )
    return write_as(out, made, format)


def write_as(
    path: str | Path,
    made: Report,
    format: Format | None = None,
    gates: Sequence[GateResult] = (),
) -> Path:
    """Write a report as a page, or as a comment if asked to or if the file ends in ``.md``.

    Raises:
        InputError: an unknown format.
        OutputError: no permission, no space, or no such folder.
    """
    if format not in (None, "html", "md"):
        raise InputError(f"A report is written as html or md; got {format!r}.")
    ending = Path(path).suffix.lower()
    if format == "md" or (format is None and ending == ".md"):
        return write_comment(path, made, gates)
    return write_report(path, made)


def report_of(
    judged: Mapping[str, Judged],
    *,
    title: str,
    settings: Mapping[str, Any],
    baseline: str | None = None,
    show: str | None = None,
    verdict: Mapping[str, str] | None = None,
    class_counts: ClassCounts | None = None,
    candidates: Sequence[Mapping[str, Any]] = (),
    images: Any = None,
    diagnosis: Diagnosis | None = None,
) -> Report:
    """Put together what a report says.

    Args:
        judged: classifiers on the same images and classes, by name.
        title, settings, show, verdict, candidates: see :class:`Report`.
        diagnosis: of the classifier that is to be used; where it says nothing of a class, what
            predictions alone tell.
        baseline: the one that the others are compared with; default the first.
        class_counts: default what the first classifier with counts says.
        images: for thumbnails of the worst classes' errors: see :func:`report`. Rows are those of
            the first in ``judged`` whose single images are known, whatever the baseline.

    Raises:
        InputError: an unknown baseline, other images or classes, or no such folder of images.
    """
    first = next((j for j in judged.values() if j.outcomes is not None), None)
    if baseline is not None:
        if baseline not in judged:
            raise InputError(f"The baseline {baseline!r} is none of {', '.join(judged)}.")
        judged = {baseline: judged[baseline], **judged}
    counts = [j.evaluation.class_counts for j in judged.values() if j.evaluation.class_counts]
    made = Report(
        title=title,
        verdict=verdict,
        evaluations={name: j.evaluation for name, j in judged.items()},
        class_counts=class_counts or next(iter(counts), None),
        settings=settings,
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        show=show,
        comparisons=_comparisons(judged),
        pairs={name: j.pairs for name, j in judged.items() if j.pairs is not None},
        reliability={n: j.reliability for n, j in judged.items() if j.reliability is not None},
        candidates=candidates,
    )
    if made.judged is None:
        return made
    looked_at, base = judged[made.judged], next(iter(judged.values()))
    pictures = pictures_of(images, _ids(looked_at, base), numbered_by=_ids(first, base))
    return replace(
        made,
        examples=_examples(made, looked_at, pictures),
        diagnosis=_completed(diagnosis, looked_at.diagnosed()),
    )


def _completed(given: Diagnosis | None, own: Diagnosis | None) -> Diagnosis | None:
    """What was found with features, where it is of these outcomes; else what predictions tell."""
    if given is None or own is None:
        return given or own
    known = {(d.index, d.right, d.support): d for d in given.classes}
    classes = (known.get((d.index, d.right, d.support), d) for d in own.classes)
    return replace(given, classes=tuple(classes))


def _comparisons(judged: Mapping[str, Judged]) -> dict[str, Comparison]:
    known = {name: j.outcomes for name, j in judged.items() if j.outcomes is not None}
    first = next(iter(judged), None)
    if first not in known or len(known) < 2:
        return {}
    level = level_of(judged[first].evaluation) or 0.95
    found = compare_all(known, baseline=first, confidence=level)
    return {each.names[1]: each for each in found}


def _ids(judged: Judged | None, baseline: Judged) -> Any:
    """What the images are called, row by row, or None.

    Where a classifier has no ids it was compared in the order of the baseline, whose ids then hold.
    """
    for each in (judged, baseline):
        if each is not None and each.outcomes is not None and each.outcomes.ids is not None:
            return each.outcomes.ids
    return None


def _examples(
    made: Report, judged: Judged, pictures: Pictures | None
) -> dict[int, tuple[Example, ...]]:
    """The errors of the worst classes that the classifier is surest of."""
    outcomes = judged.outcomes
    if outcomes is None or (pictures is None and outcomes.ids is None):
        return {}
    found: dict[int, tuple[Example, ...]] = {}
    for c in made.evaluations[made.judged or ""].worst_first()[:MOST_CARDS].tolist():
        rows = np.flatnonzero((outcomes.labels == c) & (outcomes.top != c))
        if judged.confidence is not None:
            rows = rows[np.argsort(-judged.confidence[rows], kind="stable")]
        rows = rows[:_EXAMPLES]
        images = [None] * len(rows) if pictures is None else pictures(rows.tolist())
        found[c] = tuple(
            Example(
                row=int(row),
                predicted=int(outcomes.top[row]),
                probability=None if judged.confidence is None else float(judged.confidence[row]),
                id=None if outcomes.ids is None else str(outcomes.ids[row]),
                thumbnail=None if pictures is None else thumbnail(image),
            )
            for row, image in zip(rows, images, strict=True)
        )
    return found


def default_title(names: Sequence[str], baseline: str | None = None) -> str:
    """A heading from the names of the classifiers."""
    if len(names) == 1:
        return "Recall of every class"
    first = baseline or names[0]
    others = [name for name in names if name != first]
    return f"{others[0]} against {first}" if len(others) == 1 else f"{len(names)} classifiers"
