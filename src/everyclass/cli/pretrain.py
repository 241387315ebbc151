"""`everyclass pretrain`: stage 1."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import BadImages, Data, DataRoot, Device, Json, Quiet, Seed, Workers
from everyclass.cli.printing import print_json, say, shown
from everyclass.cli.spared_files import check_spared, data_files

__all__ = ["pretrain"]


def pretrain(
    method: Annotated[str, typer.Argument(help="A method, such as ce; see everyclass methods.")],
    data: Data,
    imbalance_ratio: Annotated[
        float | None,
        typer.Option(
            help="Largest over smallest class, of sets that are made so.", show_default="100"
        ),
    ] = None,
    profile: Annotated[str, typer.Option(help="exp or step.")] = "exp",
    val: Annotated[
        str,
        typer.Option(help="none, or rest: what the split leaves over, or the set's own val list."),
    ] = "none",
    seed: Seed = 0,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the recipe's: ours, or any name of timm.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Of a timm backbone: none, pretrained, or a file of weights."),
    ] = None,
    bad_images: BadImages = "fail",
    workers: Workers = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    device: Device = "auto",
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the network; needs a C++ compiler.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder.", show_default="runs/DATA-METHOD-sSEED")
    ] = None,
    start: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="A finished run that the method begins with or learns from; once for each.",
            show_default="they are trained",
        ),
    ] = None,
    data_root: DataRoot = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a network with a method's recipe; the same command again goes on where it stopped.

    Example: everyclass pretrain ce --data cifar100-lt --imbalance-ratio 100 --seed 0

    On several GPUs: torchrun --nproc-per-node 8 -m everyclass pretrain …
    """
    from everyclass import processes
    from everyclass.data import DataConfig
    from everyclass.methods import get_method
    from everyclass.stages import pretrain as train

    config = DataConfig(data, imbalance_ratio, profile, val, bad_images)  # type: ignore[arg-type]
    check_spared(*data_files(data), method, weights, *(start or []), folder=out)
    with processes.joined(device):
        run = train(
            get_method(method, config.kind, config.imbalance_ratio),
            config,
            seed=seed,
            epochs=epochs,
            backbone=backbone,
            weights=weights,
            workers=workers,
            precision=precision,  # type: ignore[arg-type]
            device=device,
            compile=compile_,
            out=out,
            start=start,
            data_root=data_root,
            show=shown(quiet),
        )
        if not processes.is_first():
            return
    assert run.result is not None
    if json:
        print_json({"run": str(run.folder), **run.result})
        return
    left_out = run.result.get("bad_images", 0)
    if left_out:
        say(f"{left_out:,} bad pictures were left out: {run.folder / 'bad-images.csv'}")
    say(f"{run.folder}: test set, last epoch")
    for name, value in run.result["test"].items():
        say(f"  {name.replace('_', ' '):<18} {value:6.1%}")
    say(f"Next: everyclass rescue {shlex.quote(str(run.folder))}")
