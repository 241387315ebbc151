"""The features of a run's images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from everyclass.artifacts import Features, Run
from everyclass.data import BadPictures, DataConfig, EncodedSet, ImageSet, load_dataset
from everyclass.errors import FileFormatError
from everyclass.progress import silent
from everyclass.stages.extraction.extracting import extract_views
from everyclass.stages.extraction.run_network import image_batches, load_network
from everyclass.training import choose_device, inference_precision

__all__ = ["VIEWS", "data_of", "extract_run"]

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
    show: Any = silent,
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
        show: how progress is shown.
    """
    config = data_of(run)
    precision = run.config["precision"]
    dataset = load_dataset(replace(config, val=val or config.val), root=data_root)
    where = choose_device(device)
    precision = inference_precision(precision, where)
    model = load_network(run, dataset.num_classes).to(
        device=where,
        memory_format=torch.channels_last,  # type: ignore[call-overload]
    )

    def features(part: ImageSet | EncodedSet, views: int, what: str) -> Features:
        return extract_views(
            model,
            image_batches(dataset, part, where, bad=bad),
            torch.from_numpy(part.labels),
            num_views=views,
            device=where,
            precision=precision,
            class_names=dataset.class_names,
            seed=seed,
            title=f"features of {what} images",
            show=show,
        )

    return (
        features(dataset.train, num_views, "training"),
        None if dataset.val is None else features(dataset.val, 1, "held-out"),
        features(dataset.test, 1, "test"),
    )
