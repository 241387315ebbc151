"""What a trained network says of the test images, and the run's result."""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import Tensor

from everyclass.artifacts import Predictions, Run, birth_certificate
from everyclass.data import BadPictures, BatchSource, Dataset
from everyclass.metrics import evaluate
from everyclass.nn import Classifier
from everyclass.processes import (
    barrier,
    from_first,
    gathered,
    is_first,
    my_share,
    world_size,
)
from everyclass.stages.extraction.run_network import image_batches, load_network, predict_images
from everyclass.stages.pretraining.left_out import note_left_out

__all__ = ["judge"]


def judge(
    run: Run,
    model: Classifier,
    dataset: Dataset,
    bad: BadPictures,
    *,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
    workers: int | None,
    since: float,
) -> None:
    """Ask a run's network about the test images, and write what came out.

    Args:
        run: one that has its result already gets its predictions only.
        model: the network.
        dataset: with the test images.
        bad: the list of pictures that cannot be read.
        device, precision: what the network runs on and in.
        workers: processes that decode pictures in files.
        since: when the time began that the log does not count, of ``time.perf_counter``.
    """
    finished = from_first(run.result is not None)
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world_size() > 1 and not finished:  # the first one's statistics of batch norm, for all
        barrier()
        model.load_state_dict(load_network(run, dataset.num_classes).state_dict())
    images = image_batches(dataset, dataset.test, device, bad=bad, workers=workers)
    rows, logits = _predicted(model, images, device, precision)
    note_left_out(run, bad)
    if is_first():
        predictions = Predictions(
            labels=dataset.test.labels[rows.numpy()],
            logits=logits.numpy(),
            class_names=dataset.class_names,
            class_counts=dataset.class_counts,
        )
        predictions.save(run.predictions)
        if not finished:
            seconds = run.seconds + time.perf_counter() - since
            _finish(run, dataset, predictions, bad, device=device, seconds=seconds)
    barrier()


def _predicted(
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


def _finish(
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
