"""`everyclass extract`: features of pictures from a frozen network."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from everyclass.cli.options import (
    BadImages,
    Data,
    DataRoot,
    Device,
    Json,
    Overwrite,
    Quiet,
    Seed,
    Workers,
)
from everyclass.cli.printing import print_json, say, shown
from everyclass.cli.spared_files import check_spared, data_files

__all__ = ["extract"]

# Dots stand in names of folders too, such as those of networks of timm.
_OF_FILES = {
    *(".npy", ".safetensors", ".csv", ".tsv", ".parquet", ".json", ".txt", ".zip", ".tar", ".gz"),
    *(".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".h5", ".hdf5", ".mat", ".onnx"),
}


def extract(
    data: Data,
    backbone: Annotated[
        str, typer.Option(help="Any name of timm, such as resnet50, or the folder of a run.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The features file to write, such as train.npz; or a folder, such as train/, for "
            "more than fits memory: a stopped one goes on, and torchrun shares the work."
        ),
    ],
    part: Annotated[str, typer.Option(help="train, val or test.")] = "train",
    weights: Annotated[
        str, typer.Option(help="Of a timm backbone: pretrained, none, or a file of weights.")
    ] = "pretrained",
    views: Annotated[
        int, typer.Option(min=1, help="Views of each image; the first is not augmented.")
    ] = 1,
    bad_images: BadImages = "fail",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images at once.", show_default="what suits their size"),
    ] = None,
    workers: Workers = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    device: Device = "auto",
    data_root: DataRoot = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compute the features of images once, for everyclass rescue; pretrained or your own network.

    Example: everyclass extract --data list:train.txt,root=images --backbone resnet50
    --out train.npz
    """
    from everyclass import processes
    from everyclass.artifacts import prepare_folder
    from everyclass.data import BadPictures, DataConfig, check_bad_list
    from everyclass.errors import InputError
    from everyclass.stages import extract_part

    ending = out.suffix.lower()
    in_chunks = out.is_dir() or ending != ".npz"
    if ending in _OF_FILES and not out.is_dir():
        raise InputError(
            f"--out {out} ends in {ending}; name a features file, such as {out.stem}.npz, or a "
            f"folder, such as {out.stem}/."
        )
    left_out = out / "bad-images.csv" if in_chunks else out.with_suffix(".bad-images.csv")
    read = [*data_files(data), Path(backbone), Path(weights)]
    if in_chunks:
        check_spared(*read, folder=out)
    else:  # which may lie among pictures, or in a run's folder
        single = [path for path in read if not path.is_dir()]
        check_spared(*single, files=[left_out])
        check_spared(*single, files=[out], overwrite=overwrite)
    check_bad_list(left_out)
    bad = BadPictures(bad_images)
    if not in_chunks:  # chunks have their folder made before the first
        prepare_folder(out.parent, overwrite=True)
    with processes.joined(device):
        if not in_chunks and processes.world_size() > 1:
            raise InputError("Several processes write into a folder; name one with --out train/.")
        features = extract_part(
            DataConfig(data, bad_images=bad_images),
            backbone,
            part=part,
            weights=weights,
            num_views=views,
            batch_size=batch_size,
            workers=workers,
            bad=bad,
            precision=precision,  # type: ignore[arg-type]
            device=device,
            data_root=data_root,
            seed=seed,
            into=out if in_chunks else None,
            overwrite=overwrite,
            show=shown(quiet),
        )
        if not processes.is_first():
            return
    if not in_chunks:
        features.save(out)
    bad.save(left_out)
    if json:
        print_json(
            {
                "out": str(out),
                "images": len(features),
                "views": features.num_views,
                "width": features.num_features,
                "classes": features.num_classes,
                "bad_images": len(bad),
            }
        )
        return
    if len(bad):
        say(f"{bad.sentence()}; all: {left_out}", err=True)
    say(
        f"{out}: {len(features):,} images, {features.num_views} view(s), "
        f"{features.num_features:,} features, {features.num_classes:,} classes"
    )
    if part == "train":
        say(f"Next: everyclass rescue {shlex.quote(str(out))} --test TEST.npz --out rescued/")
