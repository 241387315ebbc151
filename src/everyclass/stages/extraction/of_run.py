"""The features of a run's images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from everyclass.artifacts import Features, Run
from everyclass.data import (
    BadPictures,
    DataConfig,
    Dataset,
    EncodedSet,
    ImageSet,
    load_dataset,
)
from everyclass.errors import FileFormatError
from everyclass.nn import Classifier
from everyclass.progress import Progress, silent
from everyclass.stages.extraction.extracting import extract_views
from everyclass.stages.extraction.run_network import image_batches, load_linear_network
from everyclass.training import choose_device, inference_precision

__all__ = ["VIEWS", "data_of", "extract_run", "part_features"]

VIEWS = 10


def data_of(run: Run) -> DataConfig:
    """The data that a run was trained on.

    Raises:
        FileFormatError: the run's configuration does not say.
    """
    try:
        if "precision" not in run.config:
            raise KeyError("precision")
        return DataConfig(**run.config["data"])
    except (KeyError, TypeError) as error:
        raise FileFormatError(f"{run.folder / 'config.json'} is damaged or incomplete.") from error


def extract_run(
    run: Run,
    *,
    num_views: int = VIEWS,
    val: str | None = None,
    device: str = "auto",
    data_root: str | Path | None = None,
    seed: int = 0,
    bad: BadPictures | None = None,
    workers: int | None = None,
    show: Progress = silent,
) -> tuple[Features, Features | None, Features]:
    """Features of a run's training, held-out and test images.

    Args:
        run: with a checkpoint.
        num_views: of the training images; the first is not augmented.
        val: "rest" or "none"; default what the run was configured with.
        device: "auto", "cpu", "cuda", ….
        data_root: folder to look for the data in.
        seed: of the augmentation.
        bad: the list of pictures that cannot be read; default one with the run's policy.
        workers: processes that decode pictures in files; default one per core.
        show: how progress is shown.
    """
    config = data_of(run)
    dataset = load_dataset(replace(config, val=val or config.val), root=data_root)
    model = load_linear_network(run, dataset.num_classes)
    common: dict[str, Any] = {
        "precision": run.config["precision"],
        "device": choose_device(device),
        "seed": seed,
        "bad": bad,
        "workers": workers,
        "show": show,
    }
    train = part_features(model, dataset, dataset.train, "training", num_views=num_views, **common)
    test = part_features(model, dataset, dataset.test, "test", **common)
    if dataset.val is None:
        return train, None, test
    return train, part_features(model, dataset, dataset.val, "held-out", **common), test


def part_features(
    model: Classifier,
    dataset: Dataset,
    part: ImageSet | EncodedSet,
    what: str,
    *,
    precision: Literal["fp32", "bf16"],
    device: torch.device,
    num_views: int = 1,
    seed: int = 0,
    bad: BadPictures | None = None,
    workers: int | None = None,
    show: Progress = silent,
) -> Features:
    """Features of one part of a data set.

    Args:
        model: a run's network; it is moved to ``device``.
        dataset: the whole.
        part: the images.
        what: what to call them in the progress.
        precision: that the network was trained in.
        device: to run it on.
        num_views, seed, bad, workers, show: see :func:`extract_run`.
    """
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return extract_views(
        model,
        image_batches(dataset, part, device, bad=bad, workers=workers),
        torch.from_numpy(part.labels),
        num_views=num_views,
        device=device,
        precision=inference_precision(precision, device),
        class_names=dataset.class_names,
        seed=seed,
        title=f"features of {what} images",
        show=show,
    )
