"""Stage 1: train a network with a method's recipe, into a run's folder."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from everyclass.artifacts import Predictions, Run, birth_certificate
from everyclass.data import BatchAugmentation, DataConfig, Dataset, ImageSet, load_dataset
from everyclass.metrics import evaluate
from everyclass.nn import build_classifier
from everyclass.progress import silent
from everyclass.training import (
    EpochLog,
    Precision,
    Recipe,
    TrainingSettings,
    autocast,
    choose_device,
    choose_precision,
    fit,
)

__all__ = ["image_batches", "predict_images", "pretrain"]

BACKBONE_OF = {"digits-lt": "mlp"}


def pretrain(
    recipe: Recipe,
    data: DataConfig,
    *,
    seed: int = 0,
    epochs: int | None = None,
    precision: Precision = "auto",
    device: str = "auto",
    compile: bool = False,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    show: Any = silent,
) -> Run:
    """Train a network, or go on with the training that ``out`` holds; evaluate the last epoch.

    Args:
        recipe: the method.
        data: the data set.
        seed: of initialisation, order and augmentation.
        epochs: instead of the recipe's; milestones keep their place as fractions.
        precision: "auto" takes bfloat16 where the hardware computes in it.
        device: "auto", "cpu", "cuda", ….
        compile: compile the network with ``torch.compile``.
        out: the run's folder; default ``runs/<data>-<method>-s<seed>``.
        data_root: folder to look for the data in.
        show: how progress is shown.

    Returns:
        The finished run, with ``predictions.npz`` of the test set and ``result.json``.

    Raises:
        InputError: the folder holds a run with another configuration.
        DataNotFoundError: the data set's files are not found.
        RunFailedError: the training diverged.
    """
    if epochs is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    backbone = BACKBONE_OF.get(data.name, "resnet32")
    config = {
        "method": recipe.name,
        "data": data.to_dict(),
        "backbone": backbone,
        "recipe": recipe.to_dict(),
        "precision": chosen,
        "compile": compile,
        "seed": seed,
    }
    dataset = load_dataset(data, root=data_root)
    run = Run.start(out or Path("runs") / f"{data.name}-{recipe.name}-s{seed}", config)
    if run.result is not None:
        return run

    start = time.perf_counter()
    model = build_classifier(backbone, dataset.num_classes, seed=seed)
    fit(
        model,
        recipe.loss(dataset.class_counts),
        image_batches(dataset, dataset.train, where),
        torch.from_numpy(dataset.train.labels),
        TrainingSettings(
            schedule=recipe.schedule,
            batch_size=recipe.batch_size,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            precision=chosen,
            seed=seed,
            compile=compile,
        ),
        device=where,
        checkpoint=run.checkpoint,
        on_epoch=lambda log: run.log(_rounded(log)),
        show=show,
    )
    logits = predict_images(model, dataset, dataset.test, where, chosen)
    predictions = Predictions(
        labels=dataset.test.labels,
        logits=logits.numpy(),
        class_names=dataset.class_names,
        class_counts=dataset.class_counts,
    )
    predictions.save(run.folder / "predictions.npz")
    run.finish(
        {
            "config": run.config,
            "split_fingerprint": dataset.train.fingerprint,
            "class_counts": dataset.class_counts.counts,
            "test": evaluate(predictions).summary(),
            "device": str(where),
            **birth_certificate(time.perf_counter() - start),
        }
    )
    return run


def _rounded(log: EpochLog) -> dict[str, Any]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(log).items()}


def image_batches(dataset: Dataset, images: ImageSet, device: torch.device) -> BatchAugmentation:
    """The images of one part of a data set, ready on the device with its augmentation."""
    return BatchAugmentation(
        torch.from_numpy(images.images),
        mean=dataset.mean,
        std=dataset.std,
        crop_padding=dataset.crop_padding,
        flip=dataset.flip,
        device=device,
    )


@torch.inference_mode()
def predict_images(
    model: nn.Module,
    dataset: Dataset,
    images: ImageSet,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
    *,
    batch_size: int = 500,
) -> Tensor:
    """Logits of un-augmented images: (n, C) float32 on the CPU, the network in eval mode."""
    batches = image_batches(dataset, images, device)
    model.eval()
    logits = []
    for rows in torch.arange(len(images)).split(batch_size):
        with autocast(device, precision):
            logits.append(model(batches.plain(rows)).float().cpu())
    return torch.cat(logits)
