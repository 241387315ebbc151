"""Last layers of other people's networks: which layers could be one, and what head they compute.

A layer is what it does: whether it is a linear or a cosine layer is not read off its class but
proven on a batch, with the rounding of its own precision as tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.utils import parametrize

from everyclass.artifacts import Head
from everyclass.errors import InputError
from everyclass.nn.heads import CosineHead, ScaledLinear, head_of_module, module_of_head

__all__ = [
    "as_convolution",
    "could_be_last",
    "proven_head",
    "unwrapped",
    "weight_rows",
    "with_head",
]

_ROWS = 64  # of a batch, enough for a proof


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside torch.compile, DataParallel and DistributedDataParallel."""
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def could_be_last(layer: nn.Module) -> bool:
    """Whether a layer has one weight matrix, as a linear or cosine layer of whatever class has."""
    if isinstance(layer, nn.Linear | CosineHead):
        return True
    if isinstance(layer, nn.Conv2d):
        return set(layer.kernel_size) == {1} and layer.groups == 1
    if isinstance(layer, nn.Embedding | nn.RNNBase | nn.MultiheadAttention):
        return False
    return len(_matrices(layer)) == 1


def _matrices(layer: nn.Module) -> list[Tensor]:
    return [p for p in layer.parameters(recurse=False) if p.ndim == 2]


def weight_rows(layer: nn.Module) -> list[Tensor]:
    """The (C, d) matrices that a layer may have as its weight: as it lies there, or transposed."""
    head = head_of_module(layer)
    if head is not None:
        return [torch.from_numpy(head.weight)]
    if isinstance(layer, nn.Conv2d):
        return [layer.weight.detach().flatten(1)] if could_be_last(layer) else []
    if not could_be_last(layer):
        return []
    (matrix,) = _matrices(layer)
    return [matrix.detach(), matrix.detach().T]


def proven_head(layer: nn.Module, inputs: Tensor, outputs: Tensor) -> Head | None:
    """The head that turns these inputs into these outputs; None if no linear or cosine one does.

    Args:
        layer: whose weights it has.
        inputs: (n, d) what entered it.
        outputs: (n, C) what came out.

    Raises:
        InputError: n is 0, which proves nothing.
    """
    if len(inputs) == 0:
        raise InputError(
            "No row has gone through the last layer, which proves nothing about it; give a batch "
            "of one sample or more."
        )
    inputs, outputs = inputs[:_ROWS], outputs[:_ROWS]
    for head in _possible_heads(layer, inputs, outputs):
        if _is_product(head, inputs, outputs):
            return head
    return None


def _possible_heads(layer: nn.Module, inputs: Tensor, outputs: Tensor) -> Iterator[Head]:
    head = head_of_module(layer)
    if head is not None:
        yield head
    for rows in weight_rows(layer):
        if rows.shape != (outputs.shape[1], inputs.shape[1]):
            continue
        weight = rows.float().cpu()
        bias = getattr(layer, "bias", None)
        fits = isinstance(bias, Tensor) and bias.shape == (len(weight),)
        none = np.zeros(len(weight), np.float32)
        offset = bias.detach().float().cpu().numpy() if fits else none  # type: ignore[union-attr]
        yield Head(weight.numpy(), offset)
        cosine = Head(weight.numpy(), none, "cosine")
        said = torch.from_numpy(cosine.logits(inputs.float().cpu().numpy()))
        scale = float((said * outputs.float().cpu()).sum() / said.square().sum())
        if scale > 0:
            yield Head(cosine.weight, cosine.bias, "cosine", scale)


def _is_product(head: Head, inputs: Tensor, outputs: Tensor) -> bool:
    """Whether a head gives these outputs, but for rounding.

    Of d products x w each carries a relative error of about the unit u of the arithmetic, and the
    errors are independent: together they are u ‖x∘w‖, and adding up is another √d u ‖x∘w‖ at most.
    The result is rounded once more. Eight times that is allowed.
    """
    x, out = inputs.double().cpu(), outputs.double().cpu()
    w = torch.from_numpy(head.weight).double()
    if x.shape[1] != w.shape[1] or out.shape[1] != len(w):
        return False
    bias = torch.from_numpy(head.bias).double()
    if head.kind == "cosine":
        x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
        w = head.scale * w / w.norm(dim=1, keepdim=True).clamp_min(1e-12)
    size = (x.square() @ w.square().T).sqrt()
    unit = _unit(outputs)
    adding = x.shape[1] ** 0.5 * torch.finfo(torch.float32).eps
    error = (x @ w.T + bias - out).abs()
    allowed = 8 * ((unit + adding) * size + unit * (out.abs() + bias.abs()))
    return bool((error <= allowed).all())


def _unit(outputs: Tensor) -> float:
    """Relative rounding error of the arithmetic that made the outputs."""
    unit = torch.finfo(outputs.dtype).eps
    if outputs.dtype == torch.float32:  # whose products may have been made in TF32 or bfloat16
        used = {"highest": unit, "high": 2**-10, "medium": 2**-7}
        unit = used[torch.get_float32_matmul_precision()]
        if outputs.is_cuda and torch.backends.cuda.matmul.allow_tf32:
            unit = max(unit, 2**-10)
    return float(unit)


def with_head(layer: nn.Module, old: Head, new: Head, *, is_shared: bool = False) -> nn.Module:
    """The layer itself with a head's weights in it, or an ordinary layer in its place.

    The layer keeps its class and the names of its weights where it can: where it computes a head
    of the new one's kind, and has a bias if the new one has.

    Args:
        layer: is changed.
        old: the head that it computes.
        new: the head that it is to compute.
        is_shared: whether its weight is also another layer's, which then must not change.
    """
    weight = None if is_shared else _own_weight(layer)
    bias = layer._parameters.get("bias")
    alike = (old.kind, old.scale) == (new.kind, new.scale)
    if weight is not None and alike and (bias is not None or not new.bias.any()):
        rows = torch.from_numpy(new.weight)
        lies = _equal(weight, old.weight)
        if lies or _equal(weight, old.weight.T):
            with torch.no_grad():
                weight.copy_((rows if lies else rows.T).reshape(weight.shape))
                if bias is not None:
                    bias.copy_(torch.from_numpy(new.bias))
            return layer
    made: nn.Module = module_of_head(new)
    return as_convolution(made) if isinstance(layer, nn.Conv2d) else made


def _own_weight(layer: nn.Module) -> Tensor | None:
    """The weight matrix where it is a parameter of the layer and nothing else is made of it."""
    if isinstance(layer, CosineHead | ScaledLinear) or parametrize.is_parametrized(layer):
        return None
    if isinstance(layer, nn.Linear | nn.Conv2d):
        return layer._parameters.get("weight")
    matrices = _matrices(layer)
    return matrices[0] if len(matrices) == 1 else None


def _equal(weight: Tensor, rows: npt.NDArray[np.float32]) -> bool:
    return np.array_equal(weight.detach().flatten(1).float().cpu().numpy(), rows)


def as_convolution(head: nn.Module) -> nn.Module:
    """A head for (n, d, 1, 1) in the place of a 1 × 1 convolution."""
    return nn.Sequential(nn.Flatten(), head, nn.Unflatten(1, (-1, 1, 1)))
