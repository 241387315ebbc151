"""The tree of commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from everyclass.cli import (
    adjust,
    bench,
    compare,
    data,
    demo,
    diagnose,
    evaluate,
    export,
    extract,
    methods,
    plan,
    pretrain,
    report,
    rescue,
    split,
    zoo,
)
from everyclass.cli.printing import say

__all__ = ["app"]


class _Commands(TyperGroup):
    """Says the same on Ctrl-C whatever typer's version would do."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("Interrupted; what was finished is kept.", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    help=(
        "Rescue the classes a classifier has given up on.\n\n"
        "[bold]everyclass demo[/] shows the whole job in under a minute.\n\n"
        "[bold]everyclass rescue train.npz --head head.npz --test test.npz --out rescued/[/] "
        "does it to your own network's features."
    ),
    epilog="Any command takes --debug, which shows the traceback of an error.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("rescue")(rescue.rescue)
app.command("adjust")(adjust.adjust)
app.command("extract")(extract.extract)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("diagnose")(diagnose.diagnose)
app.command("export")(export.export)
app.command("report")(report.report)
app.command("plan")(plan.plan)
app.command("split")(split.split)
app.command("pretrain")(pretrain.pretrain)
app.add_typer(methods.app, name="methods")
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")
app.add_typer(zoo.app, name="zoo")


def _version(show: bool) -> None:
    if show:
        from everyclass import __version__

        say(f"everyclass {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version.")
    ] = False,
) -> None:
    """Keep options of the whole program."""
