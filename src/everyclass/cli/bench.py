"""`everyclass bench`: the paper's tables, ours beside the paper's."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import RESULTS, DataRoot, Device, Json, Quiet
from everyclass.cli.printing import print_json, say, shown
from everyclass.cli.spared_files import check_spared

__all__ = ["app"]

app = typer.Typer(help="The paper's tables: run them, show them.", no_args_is_help=True)

Table = Annotated[str, typer.Argument(help="Such as table8; see everyclass bench list.")]
Results = Annotated[Path, typer.Option(help="Folder with stored results.")]


@app.command("list")
def list_tables(json: Json = False) -> None:
    """List every table and figure."""
    from everyclass.bench import load_table, table_names

    titles = {name: load_table(name).title for name in table_names()}
    if json:
        print_json({"tables": [{"name": name, "title": titles[name]} for name in titles]})
        return
    for name, title in titles.items():
        say(f"{name:<13} {title}")


@app.command("show")
def show(
    table: Table,
    results: Results = RESULTS,
    format_: Annotated[
        str, typer.Option("--format", help="text, markdown, latex or json.")
    ] = "text",
    all_: Annotated[
        bool, typer.Option("--all", help="Also those of our own rows that have no results.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="For figures: an .svg, .png or .html file to write.")
    ] = None,
    data_root: DataRoot = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier figure.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Show ours beside the paper's, recomputed from the stored predictions.

    Example: everyclass bench show table8
    """
    from everyclass import bench
    from everyclass.errors import InputError, RunFailedError

    if json and format_ not in ("text", "json"):
        raise InputError(f"--json and --format {format_} are two formats; leave one out.")
    format_ = "json" if json else format_
    check_spared(files=[out], overwrite=overwrite)
    chosen = bench.load_table(table)
    if chosen.statistics:
        if format_ not in ("text", "json") or out is not None:
            raise InputError(f"{table} is about data sets; it is shown as text or json.")
        counted = bench.statistics_rows(chosen, data_root)
        if format_ == "json":
            print_json({"rows": counted})
        else:
            say(bench.statistics_text(chosen, counted))
        refused = sum(bool(row["refused"]) for row in counted)
        if refused:
            be = "is" if refused == 1 else "are"
            raise RunFailedError(f"{refused} of {len(counted)} data sets {be} not as published.")
        return
    if format_ not in ("text", "markdown", "latex", "json"):
        raise InputError(f"--format must be text, markdown, latex or json; got {format_!r}.")
    if chosen.figure and format_ not in ("text", "json"):
        raise InputError(f"{table} is a figure; it is shown as text or json, or drawn with --out.")
    if out is not None and not chosen.figure:
        raise InputError(f"{table} is no figure; --out goes with figures.")
    nowhere = f"There is no folder {results}; --results names the one with results."
    if results != RESULTS and not results.is_dir():
        raise InputError(nowhere)
    rows = bench.table_rows(chosen, results)
    if out is not None:
        bench.save_figure(chosen, out, results)
    if format_ == "json":
        print_json({"rows": rows} if out is None else {"rows": rows, "out": str(out)})
    elif chosen.figure:
        say(bench.figure_text(chosen, rows, results))
        if out is not None:
            say(f"Figure: {out}")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        say(bench.table_text(chosen, rows, format_, empty=all_, width=width))  # type: ignore[arg-type]
        commands = bench.filling_commands(chosen, rows, empty=all_)
        if commands and format_ == "text":
            say("\nRows without results are made by")
            say("\n".join(f"  {command}" for command in commands))
    if not results.is_dir():
        say(nowhere, err=True)


@app.command("run")
def run(
    table: Table,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Rows by their results, such as ce,ce-gml; default all that have a recipe."
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="How many: 3 is seeds 0, 1, 2; or which: 1,2 or 4-6 or 3-3.")
    ] = "1",
    jobs: Annotated[int, typer.Option(min=1, help="Networks trained at once.")] = 1,
    shard: Annotated[
        str, typer.Option(help="i/n: only the i-th of n shares, such as one job of an array.")
    ] = "1/1",
    results: Results = RESULTS,
    runs: Annotated[Path, typer.Option(help="Folder of the training runs.")] = Path("runs"),
    device: Device = "auto",
    data_root: DataRoot = None,
    quiet: Quiet = False,
) -> None:
    """Make the results of a table that are not there yet; the same command again goes on.

    Example: everyclass bench run table3 --methods ce,bsce --seeds 0,1,2
    """
    from everyclass.bench import load_table
    from everyclass.bench.run import run_table
    from everyclass.errors import InputError

    try:
        numbers = _seeds(seeds)
    except ValueError:
        raise InputError(
            f"--seeds is how many, such as 3, or which, such as 1,2 or 4-6; got {seeds!r}."
        ) from None
    try:
        share, shards = (int(number) for number in shard.split("/"))
    except ValueError:
        raise InputError(f"--shard must be i/n, such as 2/8; got {shard!r}.") from None
    chosen = load_table(table)
    if chosen.statistics:
        raise InputError(f"{table} is about data sets, which nothing has to be run for; show it.")
    for row in chosen.rows:
        if row.pretraining is None and methods is None:
            say(f"{row.method}: no recipe yet", err=True)
    written = run_table(
        chosen,
        methods=None if methods is None else [name.strip() for name in methods.split(",")],
        seeds=numbers,
        jobs=jobs,
        shard=(share, shards),
        results=results,
        runs=runs,
        device=device,
        data_root=data_root,
        show=shown(quiet),
    )
    for path in written:
        say(str(path))
    if not written:
        say("Everything was there already.")


def _seeds(said: str) -> list[int]:
    """3: the first three; 0: the first; 1,2 and 4-6: these.

    Raises:
        ValueError: it is none of these.
    """
    if said.isdecimal():
        return list(range(max(1, int(said))))
    numbers: list[int] = []
    for part in said.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    if not numbers:
        raise ValueError(said)
    return numbers
