"""`everyclass demo`: the main job on data that needs no download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import Quiet, Seed
from everyclass.cli.printing import shown
from everyclass.cli.rescue import print_rescue

__all__ = ["demo"]

EPOCHS = 100


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("everyclass-demo"),
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Train a small network on long-tailed digits, rescue its worst classes, show the report."""
    import torch

    from everyclass.artifacts import prepare_folder
    from everyclass.data import DataConfig
    from everyclass.methods import get_method
    from everyclass.stages import pretrain, rescue_run

    own = any(out.glob("training-s*/config.json"))
    prepare_folder(out, overwrite=own, way_out="name another one with --out")
    torch.set_num_threads(1)  # so small are its matrices that threads wait for each other
    show = shown(quiet)
    data = DataConfig("digits-lt", imbalance_ratio=20, val="rest")
    folder = out / f"training-s{seed}"
    run = pretrain(
        get_method("ce"),
        data,
        seed=seed,
        epochs=EPOCHS,
        precision="fp32",  # so that it shows the same on every machine
        out=folder,
        show=show,
    )
    result = rescue_run(run, out=out, overwrite=True, seed=seed, show=show)
    print_rescue(result, out)
