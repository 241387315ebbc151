"""`everyclass data`: getting data sets, and looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import DataRoot, Json, Quiet, Workers
from everyclass.cli.printing import print_json, say, shown

__all__ = ["app"]

app = typer.Typer(help="Data sets: get them, check them.", no_args_is_help=True)


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.")],
    data_root: Annotated[
        Path | None,
        typer.Option(help="Folder to put it into.", show_default="everyclass in the user's cache"),
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
    say(f"{name} is in {folder}")


@app.command("check")
def check(
    data: Annotated[str, typer.Argument(help="As for --data, such as imagenet-lt or list:FILE.")],
    decode: Annotated[
        bool, typer.Option("--decode", help="Open every picture; exit code 1 if one is bad.")
    ] = False,
    bad: Annotated[
        Path | None,
        typer.Option(help="Where to list bad pictures.", show_default="bad-images.csv"),
    ] = None,
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

    from everyclass.data import PUBLISHED, check_data, parse_spec
    from everyclass.errors import InputError

    for name, given in {"--bad": bad, "--workers": workers}.items():
        if given is not None and not decode:
            raise InputError(f"{name} goes with --decode: without it no picture is opened.")
    found = check_data(
        data,
        root=data_root,
        decode=decode,
        bad_list=bad or Path("bad-images.csv"),
        workers=workers,
        show=shown(quiet),
    )
    if json:
        print_json(
            {
                "data": found.slug,
                "parts": {each.part: asdict(each) for each in found.counts},
                "repeats": {each.part: asdict(each) for each in found.repeats},
                "bad_images": None if found.bad is None else found.bad.found,
                "problems": found.problems,
            }
        )
    else:
        published = parse_spec(data).kind in PUBLISHED
        for each in found.counts:
            empty = f"{each.empty:,} class{'' if each.empty == 1 else 'es'}"
            say(
                f"{each.part:<6} {each.images:>9,} images, {each.classes:,} classes, "
                f"largest {each.largest:,}, smallest {each.smallest:,}"
                f"{f', {empty} without any' if each.empty else ''}"
                f"{', as published' if published else ''}"
            )
        for again in found.repeats:
            say(
                f"{again.part:<6} {again.pictures:>9,} of them more than once, such as "
                f"{again.example}"
            )
    found.raise_problems()
