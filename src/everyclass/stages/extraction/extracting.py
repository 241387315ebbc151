"""Features in front of a network's last layer, computed once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from everyclass.artifacts import Features, as_labels, as_names, free_memory
from everyclass.data import BatchSource
from everyclass.errors import InputError, InputTypeError, RunFailedError
from everyclass.nn import Classifier, head_of_module, unwrapped
from everyclass.progress import Progress, silent
from everyclass.stages.extraction.batches import BatchReader
from everyclass.stages.extraction.last_layer import LastLayer, Watch, find_last_layer
from everyclass.stages.extraction.loaders import (
    batches_of,
    check_known_classes,
    known_class_names,
    num_batches,
)
from everyclass.training import autocast

__all__ = ["embedded_view", "extract", "extract_views"]


@torch.no_grad()  # not inference_mode: what networks cache in eval mode has to stay usable
def extract(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    head: str | None = None,
    label_key: str | None = None,
    class_names: Sequence[str] | None = None,
    show: Progress = silent,
) -> Features:
    """Run a network over a loader and keep what enters its last layer.

    The last layer is the linear or cosine layer whose output is the network's output, bit for
    bit, on the first batch; so it is found by what it does and not by its name. That its weights
    times the features are the logits is proven on the same batch, up to rounding. It may also be
    a 1 × 1 convolution after pooling, a layer applied to every token of which one is chosen, or
    the mean of two layers, as in distilled transformers.

    The network is put in eval mode for this and each of its parts back afterwards; it stays on
    its device and in its precision. What torch.compile, DataParallel and
    DistributedDataParallel have wrapped is run without the wrapping.

    Args:
        model: any network that ends in a linear or cosine layer, and returns logits or something
            that has them as ``.logits``.
        loader: yields (inputs, labels), or dicts of both; or a data set whose items are such. Use
            one that does not shuffle or augment.
        head: the last layer's name, such as ``"fc"``, if it is not found; of a network that returns
            several things, the layer whose output the logits are.
        label_key: the name of the labels where batches are dicts, if it is not a usual one.
        class_names: C names in class order; labels may then be strings. Default: what the
            loader's data set calls them.
        show: ``everyclass.progress.progress`` shows progress on stderr, if the loader has a length.

    Returns:
        Features with labels and the network's own head.

    Raises:
        InputError: the last layer is not found, the loader is empty or yields something else,
            labels are not one class per sample, or there are names of another number of classes.
    """
    if not isinstance(model, nn.Module):
        raise InputTypeError(
            f"The first argument is the network and came as a {type(model).__name__}: "
            "extract(model, loader). A state_dict is no network; load it into one."
        )
    model = unwrapped(model)
    known = known_class_names(loader) if class_names is None else None
    if known is not None and len(set(known)) == len(known):
        class_names = known
    names = as_names(class_names)
    reader = BatchReader.of(model, label_key, names)
    last: LastLayer | None = None
    watch: Watch | None = None
    features, labels, seen = [], [], 0
    total = num_batches(loader)
    opened = (silent if total is None else show)("extracting features", total or 0, "batches")
    with _in_eval_mode(model), opened as task:
        try:
            for batch in batches_of(loader):
                args, kwargs, target = reader.read(batch)
                network = partial(model, *args, **kwargs)
                if last is None or watch is None:
                    last = find_last_layer(model, network, head)
                    if known is not None:
                        check_known_classes(known, last.head.num_classes)
                    as_names(names, last.head.num_classes)
                    watch = Watch(last.layers, last.per_token, head)
                logits = watch.run(network)
                features.append(last.features(watch.caught, logits))
                if len(target):  # here, and not when all batches have been run
                    as_labels(
                        target.numpy(),
                        num_classes=last.head.num_classes,
                        length=len(features[-1]),
                        first_row=seen,
                    )
                labels.append(target)
                seen += len(target)
                task.advance(1)
        finally:
            if watch is not None:
                watch.close()
    if last is None:
        raise InputError("The loader yields no batch; there is nothing to extract.")
    return Features(
        torch.cat(features).numpy(),
        torch.cat(labels).numpy(),
        last.head,
        names,
    )


@contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode without torch.compile; afterwards every part is in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.train(modes[0][1])  # some networks drop here what they cached in eval mode
        for module, training in modes:
            module.training = training


@torch.inference_mode()
def extract_views(
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
    title: str = "extracting features",
    ids: npt.NDArray[Any] | None = None,
    show: Progress = silent,
) -> Features:
    """Cache the plain view of each image and ``num_views − 1`` augmented ones.

    Args:
        model: backbone and head; used in eval mode.
        images: the images, with one augmentation.
        labels: (n,) int64.
        num_views: v ≥ 1; the first view is never augmented.
        device, precision: what the backbone runs on and in.
        class_names: C names.
        seed: of the augmentation.
        batch_size: images per step; default what suits their size.
        title: of the progress.
        ids: (n,) what each image is called, or None.
        show: how progress is shown.

    Returns:
        Features of shape (n, d) for one view, else (v, n, d), float32; of the images that could be
        read.

    Raises:
        InputError: there is less free memory than that.
        RunFailedError: pictures went missing on the way.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(len(labels))
    stacked = _room(num_views, len(labels), int(model.backbone.num_features))  # type: ignore[arg-type]
    size = batch_size or images.batch_size
    with show(title, num_views * len(labels), "images") as task:
        for view in range(num_views):
            rows, parts = embedded_view(
                model,
                images,
                rows.split(size),
                view,
                generator,
                device=device,
                precision=precision,
                expected=rows if view else None,
                done=task.advance,
            )
            torch.cat(parts, out=torch.from_numpy(stacked[view, : len(rows)]))
    stacked = stacked[:, : len(rows)]
    return Features(
        stacked[0] if num_views == 1 else stacked,
        labels[rows].numpy(),
        head_of_module(model.last_layer),
        as_names(class_names),
        None if ids is None else ids[rows.numpy()],
    )


def _room(views: int, images: int, width: int) -> npt.NDArray[np.float32]:
    """(v, n, d) for features.

    Raises:
        InputError: there is less free memory than that.
    """
    needed = 4 * views * images * width
    if needed > (free := free_memory()):
        raise InputError(
            f"{views} views of {images:,} images are {needed / 2**30:.1f} GiB of features and "
            f"{free / 2**30:.1f} GiB of memory are free; take fewer views (--views), or extract "
            "into a folder of chunks (everyclass extract --out FOLDER/) and rescue that."
        )
    return np.empty((views, images, width), dtype=np.float32)


def embedded_view(
    model: Classifier,
    images: BatchSource,
    batches: Sequence[Tensor],
    view: int,
    generator: torch.Generator,
    *,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
    expected: Tensor | None = None,
    none_is_fine: bool = False,
    done: Callable[[int], None] = lambda images: None,
) -> tuple[Tensor, list[Tensor]]:
    """Features of one view of images: the first is plain, the others are augmented.

    Args:
        model: backbone and head, in eval mode.
        images: with one augmentation.
        batches: rows.
        view: its number, from 0.
        generator: of what is random.
        device, precision: what the backbone runs on and in.
        expected: the rows that another view has; None: whatever can be read.
        none_is_fine: no error where no image could be read.
        done: told how many images each batch had.

    Returns:
        The rows that could be read, (n,) int64, and their features batch by batch, (b, d) float32
        on the CPU.

    Raises:
        RunFailedError: other rows could be read than expected.
    """
    read, parts = [torch.empty(0, dtype=torch.int64)], []
    for some, batch in _batches_of_view(images, batches, view, generator, none_is_fine):
        with autocast(device, precision):
            parts.append(model.embed(batch).float().cpu())
        read.append(some.cpu())
        done(len(some))
    rows = torch.cat(read)
    if expected is not None and not torch.equal(rows, expected):
        raise RunFailedError(
            f"View {view + 1} is of other pictures than the views before it ({len(rows):,} could "
            f"be read, and {len(expected):,} before): pictures went missing, or came back, while "
            "their features were extracted. Leave them where they are, and run the same again."
        )
    return rows, parts


def _batches_of_view(
    images: BatchSource,
    batches: Sequence[Tensor],
    view: int,
    generator: torch.Generator,
    none_is_fine: bool,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and images of each batch of which something could be read."""
    if view == 0:
        yield from images.plain(batches, none_is_fine=none_is_fine)
    else:
        for rows, (batch,) in images.augmented(batches, generator, none_is_fine=none_is_fine):
            if len(rows):
                yield rows, batch
