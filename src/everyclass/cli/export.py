"""`everyclass export`: a rescued last layer for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import Json
from everyclass.cli.printing import print_json, say
from everyclass.cli.spared_files import check_spared

__all__ = ["export"]


def export(
    rescued: Annotated[Path, typer.Argument(help="The folder that everyclass rescue wrote.")],
    out: Annotated[
        Path,
        typer.Argument(
            help="The file to write: .onnx, .pt2 (torch.export), or .safetensors of one head."
        ),
    ],
    which: Annotated[
        str | None,
        typer.Option(
            help="old, retrained or ensemble.", show_default="what the verdict recommends"
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier file.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the last layer that a rescue recommends, from features to logits, and check it.

    Example: everyclass export rescued/ head.onnx
    """
    import torch

    from everyclass import stages
    from everyclass.errors import InputError
    from everyclass.integrations import export as room

    ending = out.suffix.lower()
    if ending not in (".onnx", ".pt2", ".safetensors"):
        raise InputError(f"{out} has to end in .onnx, .pt2 or .safetensors.")
    read = [
        rescued / name for name in ("evaluation.json", "old-head.safetensors", "head.safetensors")
    ]
    check_spared(*read, files=[out], overwrite=overwrite)
    classifier = stages.load_classifier(rescued, which)  # type: ignore[arg-type]
    head = classifier.old if isinstance(classifier, stages.Ensemble) else classifier
    if ending == ".safetensors":
        if isinstance(classifier, stages.Ensemble):
            raise InputError(
                f"{out} would hold one head, and an ensemble is two with their temperatures; write "
                "it as .onnx or .pt2, or one of its heads with --which old or --which retrained."
            )
        difference = room.save_head(classifier, out)
    else:
        module = stages.module_of_classifier(classifier)
        write = room.export_onnx if ending == ".onnx" else room.export_program
        example = torch.randn(8, head.num_features, generator=torch.Generator().manual_seed(0))
        difference = write(module, example, out)
    kind = "ensemble" if isinstance(classifier, stages.Ensemble) else f"{head.kind} head"
    said = {"out": str(out), "classifier": kind, "features": head.num_features,
            "classes": head.num_classes, "largest_difference": difference}  # fmt: skip
    if json:
        print_json(said)
        return
    say(
        f"{out}: the {kind}, from {head.num_features} features to logits of {head.num_classes} "
        f"classes; read back it differs by {difference:.1g} at most."
    )
