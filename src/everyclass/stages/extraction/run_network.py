"""A run's network: made as its recipe says, loaded from its checkpoint, asked about images."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from everyclass.artifacts import Run
from everyclass.data import (
    BadPictures,
    BatchAugmentation,
    BatchSource,
    Dataset,
    DecodedSource,
    EncodedSet,
    ImageSet,
    MemorySource,
    get_augmentation,
)
from everyclass.errors import InputError, MissingFileError
from everyclass.nn import Classifier, RoutedExpertHead, build_classifier
from everyclass.training import autocast, load_checkpoint

__all__ = ["image_batches", "load_linear_network", "load_network", "predict_images"]


def load_network(run: Run, num_classes: int) -> Classifier:
    """The network of a run, with the weights of its newest checkpoint, in eval mode.

    Raises:
        MissingFileError: the run has no checkpoint.
        InputError: the checkpoint does not fit the run's configuration.
    """
    if not run.checkpoint.is_file():
        raise MissingFileError(
            f"{run.folder} has no checkpoint yet; train it with everyclass pretrain."
            if run.result is None
            else f"{run.folder} is finished, but its checkpoint is gone; remove its result.json "
            "and train it anew with everyclass pretrain."
        )
    try:
        model = build_classifier(
            run.config["backbone"], num_classes, seed=0, head=run.config["recipe"]["head"]
        )
        model.load_state_dict(load_checkpoint(run.checkpoint)["model"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{run.checkpoint} does not fit the run's configuration.") from error
    return model.eval()


def load_linear_network(run: Run, num_classes: int) -> Classifier:
    """As :func:`load_network`, with a last layer that can be retrained.

    Experts among which routers choose are all asked instead, which a warning says: their mean is
    linear, and the routers' choice is not.
    """
    model = load_network(run, num_classes)
    if isinstance(model.head, RoutedExpertHead):
        model.head = model.head.of_all()
        warnings.warn(
            f"The routers of {run.folder} choose experts image by image, which no last layer does; "
            "what follows is about the mean of all experts.",
            stacklevel=3,
        )
    return model


def image_batches(
    dataset: Dataset,
    images: ImageSet | EncodedSet,
    device: torch.device,
    *pipelines: str,
    bad: BadPictures | None = None,
    workers: int | None = None,
) -> BatchSource:
    """The images of one part of a data set, as batches on a device.

    Args:
        dataset: says how its images are cut and normalised, and whether they may be mirrored.
        images: the part.
        device: where batches are made, and images in memory are kept.
        pipelines: of ``everyclass.data.AUGMENTATIONS``, one for each view; default "basic".
        bad: the list of pictures that cannot be read; default one with the data set's policy.
        workers: processes that decode pictures in files; default one per core.
    """
    augmentations = [
        get_augmentation(name, crop_padding=dataset.crop_padding, flip=dataset.flip)
        for name in pipelines or ("basic",)
    ]
    normal: dict[str, Any] = {"mean": dataset.mean, "std": dataset.std, "device": device}
    if isinstance(images, EncodedSet):
        assert dataset.cut is not None
        return DecodedSource(
            images,
            cut=dataset.cut,
            augmentations=augmentations,
            bad=BadPictures(dataset.bad_images) if bad is None else bad,
            workers=workers,
            **normal,
        )
    first = BatchAugmentation(
        torch.from_numpy(images.images), transforms=augmentations[0], **normal
    )
    return MemorySource([first, *(first.with_transforms(more) for more in augmentations[1:])])


@torch.inference_mode()
def predict_images(
    model: nn.Module,
    images: BatchSource,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
    *,
    rows: Tensor | None = None,
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """What a network in eval mode says of un-augmented images.

    Args:
        model: from images to logits.
        images: what it is asked about.
        device, precision: what the network runs on and in.
        rows: the images to ask about; default all.
        batch_size: images per step; default what suits their size.

    Returns:
        The rows that could be read, (m,) int64, and their logits, (m, C) float32 on the CPU.
    """
    model.eval()
    asked = torch.arange(len(images)) if rows is None else rows
    read, logits = [], []
    for some, batch in images.plain(asked.split(batch_size or images.batch_size)):
        with autocast(device, precision):
            logits.append(model(batch).float().cpu())
        read.append(some)
    return torch.cat(read), torch.cat(logits)
