"""Features of any data set from a frozen backbone: a run's, one of ours, or any of timm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from everyclass.artifacts import Features, Run
from everyclass.data import BadPictures, Cut, DataConfig, Dataset, EncodedSet, load_dataset
from everyclass.errors import InputError
from everyclass.nn import Classifier, TimmBackbone, build_classifier, check_takes
from everyclass.progress import Progress, silent
from everyclass.stages.extraction.extracting import extract_views
from everyclass.stages.extraction.into_folder import extract_views_into
from everyclass.stages.extraction.of_run import data_of
from everyclass.stages.extraction.run_network import image_batches, load_linear_network
from everyclass.training import Precision, choose_device, choose_precision, inference_precision

__all__ = ["extract_part"]


def extract_part(
    data: DataConfig,
    backbone: str,
    *,
    part: str = "train",
    weights: str = "pretrained",
    num_views: int = 1,
    batch_size: int | None = None,
    workers: int | None = None,
    bad: BadPictures | None = None,
    precision: Precision = "auto",
    device: str = "auto",
    data_root: str | Path | None = None,
    seed: int = 0,
    into: Path | None = None,
    overwrite: bool = False,
    show: Progress = silent,
) -> Features:
    """Run one part of a data set through a frozen network and keep what comes out.

    Pictures are normalised as the network's weights want it: a run's as its own data, timm's as its
    model says, which also says how they are cut, unless the specification says another size. A
    run's network brings its last layer along, the old head of a rescue, if it is for as many
    classes. Others have none, and a rescue begins with a plain softmax classifier on their
    features, a linear probe.

    Args:
        data: the data set.
        backbone: a name of timm, or the folder of a run.
        part: "train", "val" or "test".
        weights: of a backbone of timm: "pretrained", "none", or a file.
        num_views: v ≥ 1; the first view is never augmented.
        batch_size: images per step; default what suits their size.
        workers: processes that decode pictures in files; default one per core.
        bad: the list of pictures that cannot be read; default one with the data set's policy.
        precision: "auto" takes a run's own, and elsewhere bfloat16 where the hardware computes in
            it.
        device: "auto", "cpu", "cuda", ….
        data_root: folder to look for the data in.
        seed: of the augmentation.
        into: a folder to keep the features in, chunk by chunk, which may be larger than memory; see
            :func:`everyclass.stages.extract_views_into`.
        overwrite: remove the features that ``into`` holds, once the data and the network are there.
        show: how progress is shown.

    Returns:
        Features with ids: what each image's list calls it, or its row in memory.

    Raises:
        InputError: the data set has no such part, or the run is not finished.
        MissingFileError, FileFormatError: as for loading the data and the weights; a picture is
            missing or damaged and the policy is "fail".
    """
    dataset = load_dataset(replace(data, val="rest" if part == "val" else data.val), root=data_root)
    images = {"train": dataset.train, "val": dataset.val, "test": dataset.test}.get(part)
    if images is None or not len(images):
        raise InputError(f"{data.slug} has no part {part!r}; part (--part) is train, val or test.")
    where = choose_device(device)
    if Path(backbone).is_dir():
        run = Run.open(backbone)
        model, dataset = _of_run(run, dataset)
        if precision == "auto":
            precision = inference_precision(run.config["precision"], where)
    else:
        model, dataset = _of_timm(backbone, weights, dataset, data)
    check_takes(model.backbone, *dataset.image_size, backbone)
    model.to(device=where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    bad = BadPictures(data.bad_images) if bad is None else bad
    source = image_batches(dataset, images, where, bad=bad, workers=workers)
    labels = torch.from_numpy(images.labels)
    common: dict[str, Any] = {
        "num_views": num_views,
        "device": where,
        "precision": choose_precision(precision, where),
        "class_names": dataset.class_names,
        "seed": seed,
        "batch_size": batch_size,
        "ids": _ids(images),
        "show": show,
    }
    if into is not None:
        return extract_views_into(
            into, model, source, labels, bad=bad, overwrite=overwrite, **common
        )
    title = f"features of {part} images"
    return extract_views(model, source, labels, title=title, **common)


def _of_run(run: Run, dataset: Dataset) -> tuple[Classifier, Dataset]:
    """A run's network, and the data set normalised as the one that it was trained on."""
    if run.result is None:
        raise InputError(
            f"The training in {run.folder} is not finished; go on with it by everyclass pretrain."
        )
    mean, std = data_of(run).normalisation
    known = len(run.result["class_counts"])
    model = load_linear_network(run, known)
    if known != dataset.num_classes:
        model = Classifier(model.backbone, nn.Identity())
    return model, replace(dataset, mean=mean, std=std)


def _of_timm(
    backbone: str, weights: str, dataset: Dataset, data: DataConfig
) -> tuple[Classifier, Dataset]:
    """A network of timm or of ours, and the data set prepared for it."""
    model = build_classifier(backbone, dataset.num_classes, seed=0, weights=weights)
    trunk = model.backbone
    if isinstance(trunk, TimmBackbone) and dataset.cut is not None:
        wanted = trunk.preprocessing
        size = dataset.cut.size if data.says_size else wanted.size
        cut = Cut(size, wanted.share, wanted.resample)
        dataset = replace(dataset, cut=cut, mean=wanted.mean, std=wanted.std)
    return Classifier(trunk, nn.Identity()), dataset


def _ids(images: Any) -> np.ndarray[Any, Any]:
    if isinstance(images, EncodedSet):
        return np.array([images.name(row) for row in range(len(images))])
    return images.index
