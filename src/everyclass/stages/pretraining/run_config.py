"""What a run's configuration says, and which run it begins with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from everyclass.artifacts import TOLD_LATER, Run
from everyclass.data import DataConfig, Dataset
from everyclass.errors import InputError
from everyclass.nn import BACKBONES
from everyclass.training import (
    HeadRecipe,
    Precision,
    Recipe,
    choose_precision,
    inference_precision,
)

__all__ = [
    "backbone_for",
    "computed_beneath",
    "constants_of",
    "finished_runs",
    "folder_beside",
    "precisions_for",
    "told_beneath",
]

BACKBONE_OF = {"cifar100-lt": "resnet32", "cifar10-lt": "resnet32", "digits-lt": "mlp"}
OF_PICTURES = "resnet50"
_Precision = Literal["fp32", "bf16"]


def precisions_for(
    asked: Precision, folder: Path, device: torch.device
) -> tuple[_Precision, _Precision]:
    """What a run is configured with, and what its next epochs are computed in.

    A run that was begun keeps its own, if another is not asked for. In bfloat16 and not finished it
    may go on in float32, where the hardware only emulates its own.
    """
    begun = Run.open(folder) if (folder / "config.json").is_file() else None
    own = None if begun is None else begun.config.get("precision")
    is_on_its_way = begun is not None and begun.result is None and begun.checkpoint.is_file()
    is_emulated = inference_precision("bf16", device) == "fp32"
    if is_on_its_way and is_emulated and (own, asked) == ("bf16", "fp32"):
        return "bf16", "fp32"
    chosen = choose_precision((own or asked) if asked == "auto" else asked, device)
    return chosen, chosen


def computed_beneath(precision: Precision, compile: bool, folder: Path) -> dict[str, Any]:
    """How a run that another rests on is to be computed: a finished one as it was."""
    run = Run.open(folder) if (folder / "config.json").is_file() else None
    if run is None or run.result is None:
        return {"precision": precision, "compile": compile}
    return {"precision": "auto", "compile": run.config.get("compile", compile)}


def told_beneath(folder: Path, recipe: Recipe | HeadRecipe) -> list[Run] | None:
    """What a finished run says that it rests on, where that is gone; None where it is needed."""
    run = Run.open(folder) if (folder / "config.json").is_file() else None
    if run is None or run.result is None:
        return None
    told: list[Any] = [run.config.get("start")] if recipe.start is not None else []
    told += run.config.get("teachers", [])
    needed = [other.name for other in recipe.rests_on]
    besides = [folder_beside(folder, recipe.name, name) for name in needed]
    if [config.get("method") for config in told if isinstance(config, dict)] != needed:
        return None
    if all((beside / "config.json").is_file() for beside in besides):
        return None
    return [Run(beside, config) for beside, config in zip(besides, told, strict=True)]


def constants_of(recipe: Recipe | HeadRecipe, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """The recipe for ``config.json``, without what a run did not yet tell when it was begun."""
    constants = recipe.to_dict(dataset.class_counts)
    begun = Run.open(folder).config.get("recipe") if (folder / "config.json").is_file() else None
    if not isinstance(begun, dict):
        return constants
    return {key: constants[key] for key in constants if key in begun or key not in TOLD_LATER}


def backbone_for(recipe: Recipe | HeadRecipe, data: DataConfig, asked: str | None) -> str:
    """The recipe's backbone, in the kind of network that is asked for or that the data are for."""
    named = recipe.backbone if isinstance(recipe, Recipe) else None
    made = re.fullmatch(r"(.+?)(-wide|-\d-experts(?:-fused)?)?", named or "resnet32")
    assert made is not None
    small = made[1] == "resnet32"  # recipes of 32 × 32 images; others say what they mean
    usual = BACKBONE_OF.get(data.name, OF_PICTURES) if small else made[1]
    kind = asked or usual
    suffix = made[2] or ""
    if kind.endswith(suffix) or (suffix == "-wide" and f"{kind}-wide" not in BACKBONES):
        return kind
    return f"{kind}{suffix}"


def folder_beside(folder: Path, method: str, start: str) -> Path:
    """``runs/x-crt-s0`` → ``runs/x-ce-s0``; a folder not named so → ``folder-ce``."""
    before, found, after = folder.name.rpartition(method)
    return folder.with_name(f"{before}{start}{after}" if found else f"{folder.name}-{start}")


def finished_runs(
    folders: Sequence[str | Path], recipe: Recipe | HeadRecipe, data: DataConfig
) -> list[Run]:
    """The runs to begin with or to learn from.

    Raises:
        InputError: the method needs none, or others; a run is not finished, or on other data.
    """
    needed = [other.name for other in recipe.rests_on]
    if not needed:
        raise InputError(f"{recipe.name} trains from scratch; leave out start (--start).")
    runs = [_finished(folder, data) for folder in folders]
    given = [run.config["method"] for run in runs]
    learns_from = needed[recipe.start is not None :]
    if learns_from and given[-len(learns_from) :] != learns_from:
        raise InputError(
            f"{recipe.name} learns from runs of {', '.join(learns_from)}, in this order, and start "
            f"(--start) names runs of {', '.join(given)}. Leave it out: what is not there yet is "
            "trained beside the run. To learn from others, change the teachers of a copy: "
            f"everyclass methods copy {recipe.name} mine.py"
        )
    if len(runs) != len(needed):
        raise InputError(
            f"{recipe.name} rests on {', '.join(needed)}, {len(needed)} in number; start (--start) "
            f"names {len(runs)}."
        )
    return runs


def _finished(folder: str | Path, data: DataConfig) -> Run:
    run = Run.open(folder)
    if run.result is None:
        raise InputError(f"The training in {run.folder} is not finished and cannot be begun with.")
    if run.config["data"] != data.to_dict():
        raise InputError(
            f"{run.folder} was trained on {run.config['data']}, which is not {data.to_dict()}; "
            "a second stage and a student need the same data."
        )
    return run
