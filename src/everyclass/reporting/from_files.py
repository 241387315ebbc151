"""From files of predictions to a report of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from everyclass.artifacts import (
    ClassCounts,
    Evaluation,
    Predictions,
    birth_certificate,
    existing_file,
    quoted,
    read_npz,
    sha256_of,
)
from everyclass.errors import EveryclassError, InputError, naming
from everyclass.metrics import EvaluationState, holds_state
from everyclass.reporting.building import default_title, on_the_same_classes, report_of
from everyclass.reporting.data import Report
from everyclass.reporting.judged import Judged

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
        options: those of :meth:`Predictions.load`.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not such a file.
        InputError: what the files hold does not fit together.
    """
    read = {name: _read(path, class_counts, options) for name, path in files.items()}
    same = on_the_same_classes({n: p for n, p in read.items() if isinstance(p, Predictions)})
    judged = {n: Judged.of(same[n]) if isinstance(r, Predictions) else r for n, r in read.items()}
    base = _named(baseline, files)
    return report_of(
        judged,
        title=title or default_title(list(judged), base),
        baseline=base,
        show=_named(show, files),
        settings=_birth(files, judged, options),
        images=images,
    )


def _read(path: Path, counts: Path | None, options: Mapping[str, Any]) -> Predictions | Judged:
    if path.suffix.lower() == ".json":
        return Judged(Evaluation.load(path))
    if holds_state(path):
        state = EvaluationState.load(path)
        if counts is not None:
            state.class_counts = ClassCounts.load(counts, names=state.class_names)
        return Judged.of_state(state)
    said = Predictions.load(path, **options)
    if counts is None:
        return said
    with naming(path):
        return said.with_counts(ClassCounts.load(counts, names=said.class_names))


def _named(value: str | None, files: Mapping[str, Path]) -> str | None:
    """A classifier by its name, or by its file."""
    if value is None or value in files:
        return value
    for name, path in files.items():
        if path == Path(value):
            return name
    raise InputError(f"{quoted(value)} is none of the classifiers: {', '.join(files)}.")


def _birth(
    files: Mapping[str, Path], judged: Mapping[str, Judged], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Which files were read, what they were made by if they say so, and what judged them."""
    given = {key: str(value) for key, value in options.items() if value is not None}
    given.pop("class_names", None)
    return {
        "files": {
            name: {
                "file": str(path),
                "sha256": sha256_of(existing_file(path, "predictions file")),
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
