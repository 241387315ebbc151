"""Features of any number of images, into a folder: chunk by chunk, by any number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from everyclass.artifacts import FeatureFolder, Features, Head
from everyclass.data import BatchSource
from everyclass.errors import RunFailedError
from everyclass.nn import Classifier, head_of_module
from everyclass.processes import (
    barrier,
    first_goes_first,
    generator_of,
    is_first,
    rank,
    world_size,
)
from everyclass.progress import silent
from everyclass.stages.extraction import batches_of_view, extract
from everyclass.training import autocast

__all__ = ["extract_into", "extract_views_into"]

_Chunk = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any] | None]


@torch.inference_mode()
def extract_views_into(
    place: str | Path,
    model: Classifier,
    images: BatchSource,
    labels: Tensor,
    *,
    num_views: int,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
    class_names: Sequence[str],
    seed: int = 0,
    batch_size: int | None = None,
    ids: npt.NDArray[Any] | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    chunk_rows: int = 16_384,
    show: Any = silent,
) -> Features:
    """As :func:`extract_views`, into a folder of chunks that may be larger than memory.

    Every process makes every world-size-th chunk. What a chunk holds follows from its number and
    the arguments, so a job that is stopped at any moment and started again, with as many processes
    as you like, ends with the same bytes.

    Args:
        place: the folder; one that was begun with the same network and arguments is gone on with.
        model, images, labels: see :func:`extract_views`.
        num_views, device, precision, class_names, seed: see :func:`extract_views`.
        batch_size, ids: see :func:`extract_views`.
        dtype: that features are kept in.
        chunk_rows: images per chunk.
        show: how progress is shown.

    Returns:
        The features, which stay in the folder.

    Raises:
        InputError: the folder was begun with another network or other arguments.
        OutputExistsError: it holds something else.
        RunFailedError: a picture cannot be read; which rows a chunk holds follows from its number,
            so none can be left out.
    """
    model.eval()
    size = batch_size or images.batch_size
    plan = {
        "network": _fingerprint(model),
        "labels": hashlib.sha256(labels.numpy().tobytes()).hexdigest()[:16],
        "ids": None if ids is None else hashlib.sha256(str(ids.tolist()).encode()).hexdigest()[:16],
        "precision": precision,
        "batch_size": size,
        "seed": seed,
    }
    with first_goes_first():
        folder = FeatureFolder(
            place,
            num_images=len(labels),
            num_features=int(model.backbone.num_features),  # type: ignore[arg-type]
            num_views=num_views,
            dtype=dtype,
            chunk_rows=chunk_rows,
            plan=plan,
        )

    def chunk(number: int, rows: range) -> _Chunk:
        views = []
        for view in range(num_views):
            generator, parts = generator_of(seed, view, number), []
            batches = torch.tensor(rows).split(size)
            for _, batch in batches_of_view(images, batches, view, generator):
                with autocast(device, precision):
                    parts.append(model.backbone(batch).float().cpu())
            views.append(torch.cat(parts).numpy() if parts else np.empty((0, 0), np.float32))
            if len(views[-1]) != len(rows):
                raise RunFailedError(
                    f"{len(rows) - len(views[-1])} pictures cannot be read, and a features folder "
                    "needs them all; everyclass data check --decode lists them, to be put right or "
                    "taken out of the list."
                )
        some = slice(rows.start, rows.stop)
        return np.stack(views), labels[some].numpy(), None if ids is None else ids[some]

    return _made(folder, chunk, head_of_module(model.head), class_names, show)


def extract_into(
    place: str | Path,
    model: nn.Module,
    dataset: Dataset[Any],
    *,
    head: str | None = None,
    class_names: Sequence[str] | None = None,
    batch_size: int = 64,
    workers: int = 0,
    dtype: Literal["float16", "float32"] = "float16",
    chunk_rows: int = 16_384,
    plan: Mapping[str, Any] | None = None,
    show: Any = silent,
) -> Features:
    """As :func:`extract`, of a data set that can be indexed, into a folder of chunks.

    Every process makes every world-size-th chunk; see :func:`extract_views_into`.

    Args:
        place: the folder.
        model: any network that ends in a linear or cosine layer.
        dataset: gives (input, label) by number, the same every time.
        head: the last layer's name, such as ``"fc"``, if it is not found.
        class_names: C names in class order.
        batch_size, workers: of the loader.
        dtype, chunk_rows: see :func:`extract_views_into`.
        plan: what tells this data set from another, such as its name, as plain values.
        show: how progress is shown.

    Returns:
        The features, which stay in the folder, with the network's own head.

    Raises:
        InputError: as extract; the folder was begun with another network or other arguments.
    """

    def read(rows: range) -> Features:
        part = Subset(dataset, list(rows))
        return extract(model, DataLoader(part, batch_size, num_workers=workers), head=head)

    size = len(dataset)  # type: ignore[arg-type]
    first = read(range(min(2, size)))
    with first_goes_first():
        folder = FeatureFolder(
            place,
            num_images=size,
            num_features=first.num_features,
            dtype=dtype,
            chunk_rows=chunk_rows,
            plan={"network": _fingerprint(model), "batch_size": batch_size, **(plan or {})},
        )

    def chunk(number: int, rows: range) -> _Chunk:
        made = read(rows)
        return made.features, made.labels, None

    return _made(folder, chunk, first.head, class_names, show)


def _made(
    folder: FeatureFolder,
    chunk: Callable[[int, range], _Chunk],
    head: Head | None,
    class_names: Sequence[str] | None,
    show: Any,
) -> Features:
    """Make this process's chunks, wait for the others', and write the manifest."""
    mine = folder.missing(share=rank(), of=world_size())
    show = show if is_first() else silent
    images = sum(len(folder.rows(number)) for number in mine)
    with show("extracting features", images * folder.num_views, "images") as task:
        for number in mine:
            features, labels, ids = chunk(number, folder.rows(number))
            folder.write(number, features, labels, ids)
            task.advance(len(labels) * folder.num_views)
    barrier()
    with first_goes_first():
        if is_first():
            folder.finish(head=head, class_names=class_names)
    return Features.load(folder.folder)


def _fingerprint(model: nn.Module) -> str:
    """Of a network's weights and statistics."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
