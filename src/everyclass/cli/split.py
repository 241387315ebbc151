"""`everyclass split`: parts that can be judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from everyclass.cli.options import Json, Overwrite, Seed
from everyclass.cli.printing import print_json, say
from everyclass.cli.spared_files import check_spared

__all__ = ["split"]


def split(
    file: Annotated[Path, typer.Argument(help="A table with labels: .csv, .parquet or .npz.")],
    val: Annotated[float, typer.Option(help="Share of the rows for validation.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the rows for testing.")] = 0.0,
    labels_column: Annotated[str, typer.Option(help="Column of the classes.")] = "labels",
    group_column: Annotated[
        str | None,
        typer.Option(help="Rows with the same value stay together: a patient, a burst, a hash."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the parts and split.json.")] = Path("split"),
    overwrite: Overwrite = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Split a table so that every class is in every part where it can be.

    Example: everyclass split lesions.csv --labels-column diagnosis --group-column patient
    """
    from everyclass import data
    from everyclass.artifacts import atomic_write, prepare_folder, replaced_together, write_json
    from everyclass.data import TableFile
    from everyclass.errors import InputError

    check_spared(file, folder=out)
    table = TableFile.load(file)
    labels = table.column(labels_column, "--labels-column")
    groups = None if group_column is None else table.column(group_column, "--group-column")
    try:
        found = data.split(labels, val=val, test=test, groups=groups, seed=seed)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    prepare_folder(out, overwrite=overwrite)
    summary = {
        "format": 1,
        "file": str(file),
        "settings": {"val": val, "test": test, "group_column": group_column, "seed": seed},
        "images": {name: len(rows) for name, rows in found.rows.items()},
        "missing": {name: found.missing(name) for name in found.rows},
        "counts": {
            str(c): {name: counts[i] for name, counts in found.counts.items()}
            for i, c in enumerate(found.classes)
        },
    }
    parts = [f"{part}{file.suffix.lower()}" for part in ("train", "val", "test")]
    with replaced_together(out, seal="split.json", stale=parts) as hidden:
        for name, rows in found.rows.items():
            with atomic_write(hidden / f"{name}{file.suffix.lower()}") as stream:
                stream.write(table.part(rows, len(labels)))
        write_json(hidden / "split.json", summary)
    if json:
        print_json(summary)
    else:
        say("\n".join(_lines(found, out)))


def _lines(found: Any, out: Path) -> list[str]:
    from everyclass.artifacts import some

    lines = []
    for name, rows in found.rows.items():
        lines.append(f"{name:<6} {len(rows):>9,} rows")
        verb = "learned" if name == "train" else "judged"
        for classes, what in (
            (found.missing(name), f"cannot be {verb} here, no rows"),
            (() if name == "train" else found.fewer(name, 4), "have under 4 rows, too few to say"),
        ):
            if classes:
                lines.append(f"       {len(classes)} classes {what}: {some(classes, most=10)}")
    return [*lines, f"Written to {out}"]
