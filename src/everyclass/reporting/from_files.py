"""From files of predictions to a report of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from everyclass.artifacts import (
    ClassCounts,
    Evaluation,
    Predictions,
    as_names,
    birth_certificate,
    existing_file,
    quoted,
    read_npz,
    sha256_of,
    some,
)
from everyclass.errors import EveryclassError, InputError, naming
from everyclass.metrics import EvaluationState, group_intervals, holds_state
from everyclass.reporting.building import default_title, report_of
from everyclass.reporting.data import Report
from everyclass.reporting.judged import Judged
from everyclass.reporting.rows import right_images
from everyclass.reporting.same_classes import judged_alike

__all__ = ["named_files", "report_of_files"]

_CERTIFICATE = 1 << 20  # bytes of a certificate that are shown


def named_files(paths: Sequence[Path], names: str | None = None) -> dict[str, Path]:
    """What the classifiers of some files are called.

    Args:
        paths: the files.
        names: one for each, with commas between them; default the files' names without ending, or
            their whole paths where these are not distinct.

    Raises:
        InputError: a file or a name that stands twice, or not one name for each.
    """
    if len({str(path) for path in paths}) < len(paths):
        raise InputError("The same file was given twice; name each classifier's file once.")
    if names is None:
        called = [path.stem for path in paths]
        called = called if len(set(called)) == len(called) else [str(path) for path in paths]
    else:
        called = [name.strip() for name in names.split(",")]
        if len(called) != len(paths) or len(set(called)) < len(called) or not all(called):
            raise InputError(
                f"--names must be {len(paths)} different names with commas between them; got "
                f"{quoted(names)}."
            )
    return dict(zip(called, paths, strict=True))


def report_of_files(
    files: Mapping[str, Path],
    *,
    baseline: str | None = None,
    show: str | None = None,
    title: str | None = None,
    class_counts: Path | None = None,
    images: Path | None = None,
    labels: Mapping[Path, Path] | None = None,
    **options: Any,
) -> Report:
    """Read what classifiers said of the same images, and put together a report.

    Args:
        files: by what the classifier is called: predictions in any form that
            :meth:`Predictions.load` reads, a saved state, or the ``.json`` of an evaluation.
        baseline, show: a name, or a file: see :func:`report_of`.
        title: the heading; default one from the names.
        class_counts: a file of training images per class.
        images: a folder in which the ids are file names.
        labels: by file, an ``.npy`` of the true classes for one that holds none.
        options: others of :meth:`Predictions.load`.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not such a file.
        InputError: what the files hold does not fit together.
    """
    of = {p: {**options, "labels": (labels or {}).get(p)} for p in files.values()}
    judged = judged_alike({n: _read(p, class_counts, of[p]) for n, p in files.items()})
    base = _named(baseline, files)
    return report_of(
        judged,
        title=title or default_title(list(judged), base),
        baseline=base,
        show=_named(show, files),
        settings=_birth(files, judged, of),
        images=images,
    )


def _read(path: Path, counts: Path | None, options: Mapping[str, Any]) -> Predictions | Judged:
    names = options.get("class_names")
    if path.suffix.lower() == ".json":
        return Judged(_evaluation(path, counts, names))
    if holds_state(path):
        state = EvaluationState(class_names=names)
        with naming(path):
            state.merge(EvaluationState.load(path))
        if counts is not None:
            state.class_counts = ClassCounts.load(counts, names=state.class_names)
        return Judged.of_state(state)
    said = Predictions.load(path, **options)
    if counts is None:
        return said
    with naming(path):
        return said.with_counts(ClassCounts.load(counts, names=said.class_names))


def _evaluation(path: Path, counts: Path | None, names: Sequence[str] | None) -> Evaluation:
    """An evaluation with what is said of its classes beside the file."""
    found = Evaluation.load(path)
    if names is not None and found.class_names is None:
        with naming(path):
            found = replace(found, class_names=as_names(names, found.num_classes))
    elif names is not None and found.class_names != tuple(names):
        raise InputError(
            f"{path} names its classes {some(found.class_names or ())}, and class_names "
            f"(--class-names) says {some(names)}; leave class_names out."
        )
    if counts is None:
        return found
    known = ClassCounts.load(counts, names=found.class_names)
    with naming(path):
        known = ClassCounts.of(known, num_classes=found.num_classes)
        return _with_counts(found, known)


def _with_counts(evaluation: Evaluation, counts: ClassCounts) -> Evaluation:
    """An evaluation with other training images, and intervals of the groups that these make."""
    intervals = evaluation.intervals
    if intervals is not None:
        level = (evaluation.interval_settings or {}).get("confidence", 0.95)
        groups = group_intervals(
            right_images(evaluation), evaluation.support, counts, confidence=level
        )
        intervals = {**intervals, "groups": groups}
    return replace(
        evaluation,
        class_names=evaluation.class_names or counts.names,
        class_counts=counts,
        groups=None,  # of other counts; a report takes the means from the recalls
        intervals=intervals,
    )


def _named(value: str | None, files: Mapping[str, Path]) -> str | None:
    """A classifier by its name, or by its file."""
    if value is None or value in files:
        return value
    for name, path in files.items():
        if path == Path(value):
            return name
    raise InputError(f"{quoted(value)} is none of the classifiers: {', '.join(files)}.")


def _birth(
    files: Mapping[str, Path], judged: Mapping[str, Judged], of: Mapping[Path, Mapping[str, Any]]
) -> dict[str, Any]:
    """Which files were read, what they were made by if they say so, and what judged them."""
    given = {
        key: str(value)
        for key, value in next(iter(of.values())).items()
        if value is not None and key not in ("class_names", "labels")
    }
    return {
        "files": {
            name: {
                "file": str(path),
                "sha256": sha256_of(existing_file(path, "predictions file")),
                **({} if of[path]["labels"] is None else {"labels": str(of[path]["labels"])}),
                "images": judged[name].evaluation.num_samples,
                **_certificate(path),
            }
            for name, path in files.items()
        },
        "options": given,
        "intervals": next(iter(judged.values())).evaluation.interval_settings or {},
        "made with": birth_certificate(),
    }


def _certificate(path: Path) -> dict[str, Any]:
    """What an ``.npz`` says of how it was made, as stored results do."""
    if path.suffix.lower() != ".npz":
        return {}
    with suppress(EveryclassError, ValueError, OSError, KeyError, zipfile.BadZipFile):
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("certificate.npy")
        if info.file_size <= _CERTIFICATE:
            said = json.loads(str(read_npz(path, "predictions file")["certificate"]))
            return {"made by": said} if isinstance(said, dict) else {}
    return {}
