"""A run's network: made as its recipe says, loaded from its checkpoint, asked about images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from everyclass.artifacts import Run
from everyclass.data import BatchAugmentation, Dataset, ImageSet, get_augmentation
from everyclass.errors import InputError, MissingFileError
from everyclass.nn import Classifier, build_classifier
from everyclass.training import autocast, load_checkpoint

__all__ = ["image_batches", "load_network", "predict_images"]


def load_network(run: Run, num_classes: int) -> Classifier:
    """The network of a run, with the weights of its newest checkpoint, in eval mode.

    Raises:
        MissingFileError: the run has no checkpoint.
        InputError: the checkpoint does not fit the run's configuration.
    """
    if not run.checkpoint.is_file():
        raise MissingFileError(
            f"{run.folder} has no checkpoint yet; train it with everyclass pretrain."
        )
    try:
        model = build_classifier(
            run.config["backbone"], num_classes, seed=0, head=run.config["recipe"]["head"]
        )
        model.load_state_dict(load_checkpoint(run.checkpoint)["model"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{run.checkpoint} does not fit the run's configuration.") from error
    return model.eval()


def image_batches(
    dataset: Dataset, images: ImageSet, device: torch.device, pipeline: str = "basic"
) -> BatchAugmentation:
    """The images of one part of a data set, ready on the device with an augmentation.

    Args:
        dataset: says how its images are normalised, and whether they may be mirrored.
        images: the part.
        device: where images are kept and batches are made.
        pipeline: one of ``everyclass.data.AUGMENTATIONS``.
    """
    return BatchAugmentation(
        torch.from_numpy(images.images),
        transforms=get_augmentation(pipeline, crop_padding=dataset.crop_padding, flip=dataset.flip),
        mean=dataset.mean,
        std=dataset.std,
        device=device,
    )


@torch.inference_mode()
def predict_images(
    model: nn.Module,
    images: BatchAugmentation,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
    *,
    rows: Tensor | None = None,
    batch_size: int = 500,
) -> Tensor:
    """Logits of un-augmented images: (n, C) float32 on the CPU, the network in eval mode.

    Args:
        model, images, device, precision: what is asked about what, where and how.
        rows: the images to ask about; default all.
        batch_size: images per step.
    """
    model.eval()
    logits = []
    for some in (torch.arange(len(images)) if rows is None else rows).split(batch_size):
        with autocast(device, precision):
            logits.append(model(images.plain(some)).float().cpu())
    return torch.cat(logits)
