"""What a trained network says of the test images, and the run's result."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from everyclass.artifacts import Predictions, Run, birth_certificate
from everyclass.data import BadPictures, BatchSource, Dataset
from everyclass.metrics import evaluate
from everyclass.nn import Classifier
from everyclass.processes import gathered, my_share, world_size
from everyclass.stages.extraction.run_network import predict_images

__all__ = ["finish", "predicted"]


def predicted(
    model: Classifier,
    images: BatchSource,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
) -> tuple[Tensor, Tensor]:
    """The test images that could be read, and their logits, each computed by one process."""
    share = my_share(torch.arange(len(images)))
    rows, logits = predict_images(model, images, device, precision, rows=share)
    rows, logits = gathered(rows.to(device)).cpu(), gathered(logits.to(device)).cpu()
    order = rows.argsort()
    return rows[order], logits[order]


def finish(
    run: Run,
    dataset: Dataset,
    predictions: Predictions,
    bad: BadPictures,
    *,
    device: torch.device,
    seconds: float,
) -> None:
    """Write what came out; of bad pictures the number, as their list is there already."""
    run.finish(
        {
            "config": run.config,
            **({} if bad.policy == "fail" else {"bad_images": len(bad)}),
            "split_fingerprint": dataset.train.fingerprint,
            "class_counts": dataset.class_counts.counts,
            "test": evaluate(predictions).summary(),
            "device": str(device),
            **({"processes": world_size()} if world_size() > 1 else {}),
            **birth_certificate(seconds),
        }
    )
