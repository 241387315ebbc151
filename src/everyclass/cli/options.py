"""Options that several commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from everyclass.metrics.gate_language import Gate

__all__ = [
    "RESULTS",
    "BadImages",
    "ClassNames",
    "Confidence",
    "Counts",
    "Data",
    "DataRoot",
    "Device",
    "Json",
    "LabelsColumn",
    "LabelsFile",
    "Overwrite",
    "PredictedColumn",
    "Quiet",
    "ScoresAre",
    "Seed",
    "Workers",
    "baselines",
    "check_spared",
    "data_files",
    "harmless",
    "holds_json",
    "labels_for",
    "print_json",
    "say",
    "shown",
    "without_labels",
]

RESULTS = Path("benchmarks/results")  # of the bench, where it was cloned

BadImages = Annotated[
    str, typer.Option(help="fail, or skip: leave out and list pictures that cannot be read.")
]
ClassNames = Annotated[
    Path | None,
    typer.Option(help="Class names in class order: .txt, one a line, or .json (id2label too)."),
]
Confidence = Annotated[float, typer.Option(help="Of intervals and tests, such as 0.95.")]
Counts = Annotated[
    Path | None,
    typer.Option(help="Training images per class: .csv with class,count, .json or .npz."),
]
Data = Annotated[
    str,
    typer.Option(
        help="cifar100-lt, cifar10-lt, digits-lt, imagenet-lt, places-lt, inat2018; or pictures "
        "in files: list:, table:, folder:, hf:, shards:; such as list:train.txt,test=test.txt."
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder to look for the data in, before EVERYCLASS_DATA and the cache."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, …")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LabelsColumn = Annotated[str, typer.Option(help="Column of the true classes.")]
LabelsFile = Annotated[
    Path | None, typer.Option(help="An .npy of the true classes, for a file without any.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results in --out.")]
PredictedColumn = Annotated[str, typer.Option(help="Column of the predicted classes.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
ScoresAre = Annotated[
    str | None,
    typer.Option(
        "--scores", help="What an .npy, or columns named as classes, hold: logits or probs."
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random.")]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Processes that decode pictures.", show_default="one per core"),
]


def shown(quiet: bool) -> Any:
    """The progress to hand to a function: on stderr, or none."""
    from everyclass.progress import progress, silent

    return silent if quiet else progress


def harmless(text: str) -> str:
    """Text in which what came out of files cannot steer a terminal; its lines stay lines.

    What has no glyph is written as its escape, as :func:`everyclass.artifacts.escaped` does.
    """
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from everyclass.artifacts import escaped

    return "\n".join(escaped(line, isolates=True) for line in lines)


def say(text: str, *, err: bool = False) -> None:
    """Print text, made :func:`harmless`, on stdout; on stderr if ``err``.

    Nothing of our own that is said so has colours. Tables of rich have, and print themselves; they
    hold nothing from files.
    """
    typer.echo(harmless(text), err=err)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout; NaN becomes null, and what has no glyph its JSON escape."""
    from everyclass.artifacts import json_text

    text = json_text(value)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # what stdout would put in its place is no JSON
        text = "".join(s if s.isascii() else json.dumps(s)[1:-1] for s in text)
    typer.echo(text)


# --- labels beside a file of predictions ----------------------------------------------------------


def without_labels(files: Iterable[Path]) -> list[Path]:
    """Those of several files that are arrays of predictions without the true classes."""
    from everyclass.artifacts import lacks_labels
    from everyclass.metrics import holds_state

    return [file for file in files if lacks_labels(file) and not holds_state(file)]


def labels_for(files: Iterable[Path], labels: Path | None) -> dict[Path, Path]:
    """Which files a file of true classes goes with.

    Those that hold none; where all do it goes with all, and who reads them says why it must not.
    What holds no single images, a saved state or the ``.json`` of an evaluation, is left out.

    Raises:
        InputError: no file holds single images.
    """
    from everyclass.artifacts import some
    from everyclass.errors import InputError
    from everyclass.metrics import holds_state

    if labels is None:
        return {}
    files = list(files)
    single = [file for file in files if file.suffix.lower() != ".json" and not holds_state(file)]
    if not single:
        raise InputError(
            f"--labels {labels} are the true classes of single images, and {some(files, most=3)} "
            "holds none of these; leave --labels out."
        )
    return dict.fromkeys(without_labels(single) or single, labels)


# --- what is read is not written over -------------------------------------------------------------


def check_spared(
    *reads: str | Path | None,
    files: Iterable[Path | None] = (),
    folder: Path | None = None,
    overwrite: bool = True,
) -> None:
    """Refuse to write over what is read, whatever ``--overwrite`` says.

    To be called before anything is read or computed.

    Args:
        reads: files and folders that are read; what is None, or not there, is passed over, as are
            words that stand for no file.
        files: the files to be written.
        folder: a folder to write files to; no file that is read may lie in it, whatever its name.
        overwrite: whether ``files`` may replace earlier results.

    Raises:
        InputError: something is read and would be written; or two of ``files`` are one.
        OutputExistsError: one of ``files`` is there already and ``overwrite`` is false.
    """
    from everyclass.artifacts import check_free
    from everyclass.errors import InputError

    read = [Path(path) for path in reads if path is not None and os.path.exists(path)]
    written = [file for file in files if file is not None]
    for path in read:
        place = Path(os.path.realpath(path))
        if folder is not None:
            into = Path(os.path.realpath(folder))
            if place == into:
                raise InputError(f"{folder} is read and would be written to; name another folder.")
            if place.parent == into and not place.is_dir():
                raise InputError(
                    f"{path} is read and lies in {folder}, which is written to; name another "
                    "folder."
                )
        for file in written:
            if os.path.exists(file) and place in Path(os.path.realpath(file)).parents:
                raise InputError(
                    f"{file} is part of {path}, which is read; name another file to write."
                )
    check_free(written, keep=read, overwrite=overwrite)


def holds_json(file: Path, *keys: str) -> bool:
    """Whether a file is a JSON object with one of these keys."""
    from everyclass.artifacts import read_json
    from everyclass.errors import EveryclassError

    try:
        return not read_json(file).keys().isdisjoint(keys)
    except (EveryclassError, OSError):
        return False


def data_files(data: str) -> list[Path]:
    """The files and folders that a ``--data`` names, the folder of the pictures included.

    Raises:
        InputError: it is no such text.
    """
    from everyclass.data import parse_spec

    spec = parse_spec(data)
    root = spec.options.get("root")
    return spec.files if root is None else [*spec.files, Path(root)]


def baselines(gates: Iterable[Gate]) -> list[str]:
    """The files that gates compare with."""
    from everyclass.metrics.gate_language import Drop

    return [gate.operand.baseline for gate in gates if isinstance(gate.operand, Drop)]
