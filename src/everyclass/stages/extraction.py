"""Features in front of a network's last layer, computed once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from everyclass.artifacts import Features
from everyclass.data import BatchSource
from everyclass.errors import InputError, RunFailedError
from everyclass.nn import Classifier, CosineHead, head_of_module
from everyclass.progress import silent
from everyclass.training import autocast

__all__ = ["extract", "extract_views"]

_Caught = dict[str, tuple[Tensor, Tensor]]


@torch.inference_mode()
def extract(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    head: str | None = None,
    class_names: Sequence[str] | None = None,
) -> Features:
    """Run a network over a loader and keep what enters its last layer.

    The last layer is the linear or cosine layer whose output is the network's output, bit for
    bit, on the first batch; so it is found by what it does and not by its name. The network is
    put in eval mode for this and each of its parts back afterwards; it stays on its device.

    Args:
        model: any network that ends in a linear or cosine layer.
        loader: yields (inputs, labels) batches; use one that does not shuffle or augment.
        head: the last layer's name, such as ``"fc"``, if it is not found.
        class_names: C names in class order.

    Returns:
        Features with labels and the network's own head.

    Raises:
        InputError: the last layer is not found, the loader is empty or yields something else.
    """
    layers = _candidates(model, head)
    modes = [(module, module.training) for module in model.modules()]
    parameter = next(model.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    caught: _Caught = {}
    handles = {
        name: layer.register_forward_hook(_catch_as(name, caught)) for name, layer in layers.items()
    }
    chosen: str | None = None
    features, labels = [], []
    model.eval()
    try:
        for batch in loader:
            inputs, target = _unpack(batch)
            caught.clear()
            output = model(inputs.to(device))
            if chosen is None:
                chosen = _matching(caught, output, head)
                for name in layers.keys() - {chosen}:
                    handles.pop(name).remove()
            features.append(caught[chosen][0].float().cpu())
            labels.append(torch.as_tensor(target).cpu())
    finally:
        for handle in handles.values():
            handle.remove()
        for module, training in modes:
            module.training = training
    if not features or chosen is None:
        raise InputError("The loader yields no batch; there is nothing to extract.")
    return Features(
        torch.cat(features).numpy(),
        torch.cat(labels).numpy(),
        head_of_module(layers[chosen]),
        None if class_names is None else tuple(class_names),
    )


def _catch_as(name: str, caught: _Caught) -> Callable[[nn.Module, Any, Tensor], None]:
    """A forward hook that keeps a layer's input, and its output before anybody overwrites it."""

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.ndim == 2:  # else it is no last layer, and too large to keep
            caught[name] = (inputs[0], output.clone())

    return hook


def _candidates(model: nn.Module, head: str | None) -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | CosineHead)
    }
    if head is None:
        return layers
    if head not in layers:
        raise InputError(
            f"The network has no linear or cosine layer {head!r}; it has "
            f"{', '.join(list(layers)[-5:]) or 'none'}."
        )
    return {head: layers[head]}


def _unpack(batch: Any) -> tuple[Tensor, Any]:
    if isinstance(batch, list | tuple) and len(batch) == 2 and isinstance(batch[0], Tensor):
        return batch[0], batch[1]
    kind = type(batch).__name__
    if isinstance(batch, list | tuple):
        kind += f" of {', '.join(type(part).__name__ for part in batch)}"
    raise InputError(
        f"The loader yields a {kind} and must yield (inputs, labels), inputs a tensor; wrap it: "
        "((b['image'], b['label']) for b in loader)."
    )


def _matching(caught: _Caught, output: Any, head: str | None) -> str:
    if not isinstance(output, Tensor):
        raise InputError(
            f"The network returns {type(output).__name__} and must return a tensor of logits; "
            "wrap it in a module that does."
        )
    if output.ndim != 2:
        raise InputError(
            f"The network returns a tensor of shape {tuple(output.shape)}; one row of logits per "
            "image is needed."
        )
    matches = [
        n
        for n, (_, out) in caught.items()
        if out.shape == output.shape and torch.equal(out, output)
    ]
    if not matches:
        which = f"the layer {head!r}" if head else "no linear or cosine layer of the network"
        raise InputError(
            f"The network's output is not the output of {which}; pass the part of the network "
            'that ends in its last layer, or name that layer with head="…".'
        )
    return matches[-1]


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
    show: Any = silent,
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
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    views: list[npt.NDArray[np.float32]] = []
    rows = torch.arange(len(labels))
    size = batch_size or images.batch_size
    with show(title, num_views * len(labels), "images") as task:
        for view in range(num_views):
            read, parts = [], []
            for some, batch in _batches_of_view(images, rows.split(size), view, generator):
                with autocast(device, precision):
                    parts.append(model.backbone(batch).float().cpu())
                read.append(some)
                task.advance(len(some))
            if view and len(torch.cat(read)) != len(rows):
                raise RunFailedError("Pictures went missing while their features were extracted.")
            rows = torch.cat(read)
            views.append(torch.cat(parts).numpy())
    stacked = views[0] if num_views == 1 else np.stack(views)
    return Features(
        stacked,
        labels[rows].numpy(),
        head_of_module(model.head),
        tuple(class_names),
        None if ids is None else ids[rows.numpy()],
    )


def _batches_of_view(
    images: BatchSource, batches: Sequence[Tensor], view: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """The plain view first, then augmented ones."""
    if view == 0:
        yield from images.plain(batches)
    else:
        for rows, (batch,) in images.augmented(batches, generator):
            yield rows, batch
