"""`everyclass data`: getting data sets, and looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import DataRoot, Json, Quiet, Workers, print_json, shown

__all__ = ["app"]

app = typer.Typer(help="Data sets: get them, check them.", no_args_is_help=True)


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.")],
    data_root: Annotated[
        Path | None,
        typer.Option(help="Folder to put it into. [default: everyclass in the user's cache]"),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Another address of the same archive, such as a mirror.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Download a data set, check it and unpack it; the same command again goes on.

    Example: everyclass data get cifar100
    """
    from everyclass.data import get_dataset

    folder = get_dataset(name, root=data_root, url=url, show=shown(quiet))
    typer.echo(f"{name} is in {folder}")


@app.command("check")
def check(
    data: Annotated[str, typer.Argument(help="As for --data, such as imagenet-lt or list:FILE.")],
    decode: Annotated[
        bool, typer.Option("--decode", help="Open every picture; exit code 1 if one is bad.")
    ] = False,
    bad: Annotated[Path, typer.Option(help="Where to list bad pictures.")] = Path("bad-images.csv"),
    workers: Workers = None,
    data_root: DataRoot = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check lists against what is published about them, count classes, find what does not fit.

    Pictures that are there twice, under two classes or in two parts, and those that cannot be read.

    Example: everyclass data check list:train.txt,test=test.txt,root=images --decode
    """
    from dataclasses import asdict

    from everyclass import data as sets
    from everyclass.errors import DataNotFoundError, FileFormatError, RunFailedError

    options = sets.parse_spec(data).options
    config = sets.DataConfig(data)
    published = sets.PUBLISHED.get(config.kind)
    found = None
    repeats: list[sets.Repeats] = []
    if published is not None and not decode:
        counts = sets.count_published(published, sets.search_roots(data_root), options)
    else:
        dataset = sets.open_every_part(data, root=data_root)
        counts, repeats = sets.count_parts(dataset), sets.find_repeats(dataset)
        if decode:
            found = sets.find_bad_pictures(dataset, workers=workers, show=shown(quiet))
            found.save(bad)
    bad_ones = None if found is None else found.found
    if json:
        parts = {each.part: asdict(each) for each in counts}
        print_json(
            {
                "data": config.slug,
                "parts": parts,
                "repeats": {each.part: asdict(each) for each in repeats},
                "bad_images": bad_ones,
            }
        )
    else:
        for each in counts:
            typer.echo(
                f"{each.part:<6} {each.images:>9,} images, {each.classes:,} classes, "
                f"largest {each.largest:,}, smallest {each.smallest:,}"
                f"{', as published' if published else ''}"
            )
        for again in repeats:
            typer.echo(
                f"{again.part:<6} {again.pictures:>9,} of them more than once, such as "
                f"{again.example}"
            )
    if published is not None:
        missing = [part for part in published.lists if part not in {c.part for c in counts}]
        if missing:
            names = ", ".join(published.lists[part] for part in missing)
            raise DataNotFoundError(
                f"{published.title} lacks {names}: lines 'path label', "
                f"{', '.join(f'{published.totals[part]:,}' for part in missing)} of them. They "
                f"belong into {sets.search_roots(data_root)[0] / 'lists'}."
            )
    torn = next((each for each in repeats if each.two_classes), None)
    if torn is not None:
        raise FileFormatError(
            f"{torn.two_classes:,} of the {torn.part} images are there under more than one class, "
            f"such as {torn.example}; leave one line of each."
        )
    if found:
        raise RunFailedError(
            f"{len(found):,} pictures cannot be used, the first of them "
            f"{next(iter(found.found))}; all are listed in {bad}."
        )
