"""Features of any number of images, into a folder: chunk by chunk, by any number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from everyclass.artifacts import FeatureFolder, Features, Head, remove_features, rows_per_chunk
from everyclass.data import BadPictures, BatchSource
from everyclass.data.workers import as_many_workers
from everyclass.errors import InputError
from everyclass.nn import Classifier, head_of_module, unwrapped
from everyclass.processes import (
    barrier,
    first_goes_first,
    generator_of,
    is_first,
    rank,
    world_size,
)
from everyclass.progress import Progress, silent
from everyclass.stages.extraction.extracting import embedded_view, extract

__all__ = ["extract_into", "extract_views_into"]

_Chunk = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any] | None, dict[str, str]]


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
    bad: BadPictures | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    chunk_rows: int | None = None,
    overwrite: bool = False,
    show: Progress = silent,
) -> Features:
    """As :func:`extract_views`, into a folder of chunks that may be larger than memory.

    Every process makes every world-size-th chunk. What a chunk holds follows from its number and
    the arguments, so a job that is stopped at any moment and started again, with as many processes
    as you like, ends with the same bytes.

    Args:
        place: the folder; one that was begun with the same network, images and arguments is gone on
            with. Files of the same names are told apart by their sizes.
        model, images, labels: see :func:`extract_views`.
        num_views, device, precision, class_names, seed: see :func:`extract_views`.
        batch_size, ids: see :func:`extract_views`.
        bad: the images' list of pictures that cannot be read; where it leaves them out, so does the
            folder, and at the end the list holds what any process found.
        dtype: that features are kept in.
        chunk_rows: images per chunk; default a 32nd of them, from 256 to 16,384, so that several
            processes have something to do.
        overwrite: remove the features that the folder holds, instead of going on with them.
        show: how progress is shown.

    Returns:
        The features, which stay in the folder.

    Raises:
        InputError: the folder was begun with another network, other images or other arguments; none
            of the pictures can be read.
        OutputExistsError: it holds something else.
        MissingFileError, FileFormatError: a picture is missing or damaged and the policy is "fail".
        RunFailedError: one went missing on the way.
    """
    model.eval()
    size = batch_size or images.batch_size
    width = int(model.backbone.num_features)  # type: ignore[arg-type]
    plan = {
        "network": _fingerprint(model),
        "labels": _digest(labels.numpy().tobytes()),
        "ids": None if ids is None else _digest(str(ids.tolist()).encode()),
        "images": images.identity(),
        "precision": precision,
        "batch_size": size,
        "seed": seed,
    }
    with first_goes_first():
        if overwrite and is_first():
            remove_features(place)
        folder = FeatureFolder(
            place,
            num_images=len(labels),
            num_features=width,
            num_views=num_views,
            dtype=dtype,
            chunk_rows=chunk_rows or rows_per_chunk(len(labels)),
            plan=plan,
        )

    bad = BadPictures("skip") if bad is None else bad

    def chunk(number: int, rows: range) -> _Chunk:
        known, views, kept = set(bad.found), [], torch.empty(0, dtype=torch.int64)
        for view in range(num_views):
            kept, parts = embedded_view(
                model,
                images,
                torch.tensor(rows).split(size),
                view,
                generator_of(seed, view, number),
                device=device,
                precision=precision,
                expected=kept if view else None,
                none_is_fine=True,
            )
            views.append(torch.cat(parts).numpy() if parts else np.empty((0, width), np.float32))
        new = {path: why for path, why in bad.found.items() if path not in known}
        left_out = {} if len(kept) == len(rows) else new or dict(bad.found)
        named = None if ids is None else ids[kept.numpy()]
        return np.stack(views), labels[kept].numpy(), named, left_out

    made = _made(folder, chunk, head_of_module(model.last_layer), class_names, show)
    bad.found |= folder.left_out()
    return made


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
    chunk_rows: int | None = None,
    plan: Mapping[str, Any] | None = None,
    label_key: str | None = None,
    show: Progress = silent,
) -> Features:
    """As :func:`extract`, of a data set that can be indexed, into a folder of chunks.

    Every process makes every world-size-th chunk; see :func:`extract_views_into`.

    Args:
        place: the folder.
        model: any network that ends in a linear or cosine layer.
        dataset: gives (input, label) by number, the same every time.
        head, label_key: the last layer's name and that of the labels in items that are dicts, where
            they are not found.
        class_names: C names in class order; labels may then be strings. Default: what the data set
            calls them.
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
        with as_many_workers(workers):
            loader = DataLoader(Subset(dataset, list(rows)), batch_size, num_workers=workers)
            part = _Part(dataset, iter(loader))
        return extract(model, part, head=head, label_key=label_key, class_names=class_names)

    size = len(dataset)  # type: ignore[arg-type]
    first = read(range(min(2, size)))
    assert first.head is not None
    names = first.class_names
    with first_goes_first():
        folder = FeatureFolder(
            place,
            num_images=size,
            num_features=first.num_features,
            dtype=dtype,
            chunk_rows=chunk_rows or rows_per_chunk(size),
            plan={
                "network": _fingerprint(unwrapped(model)),
                "head": _digest(first.head.weight.tobytes()),
                "class_names": None if names is None else list(names),
                "batch_size": batch_size,
                **(plan or {}),
            },
        )

    if not folder.begins_with(first.features, first.labels):
        raise InputError(
            f"{place} holds features of other images than those of this data set; name another "
            "folder, or remove what is there."
        )

    def chunk(number: int, rows: range) -> _Chunk:
        made = read(rows)
        return made.features, made.labels, None, {}

    return _made(folder, chunk, first.head, names, show)


@dataclass(frozen=True)
class _Part:
    """Batches of some items, beside the data set that knows what its classes are called."""

    dataset: Dataset[Any]
    batches: Iterator[Any]

    def __iter__(self) -> Iterator[Any]:
        return self.batches


def _made(
    folder: FeatureFolder,
    chunk: Callable[[int, range], _Chunk],
    head: Head | None,
    class_names: Sequence[str] | None,
    show: Progress,
) -> Features:
    """Make this process's chunks, wait for the others', and write the manifest."""
    mine = folder.missing(share=rank(), of=world_size())
    show = show if is_first() else silent
    images = sum(len(folder.rows(number)) for number in mine)
    with show("extracting features", images * folder.num_views, "images") as task:
        for number in mine:
            features, labels, ids, left_out = chunk(number, folder.rows(number))
            folder.write(number, features, labels, ids, left_out)
            task.advance(len(labels) * folder.num_views)
    barrier()
    with first_goes_first():
        if is_first():
            folder.finish(head=head, class_names=class_names)
    return Features.load(folder.folder)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _fingerprint(model: nn.Module) -> str:
    """Of a network's weights and statistics."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
