"""Networks and heads for other runtimes: ONNX, torch.export, safetensors."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from everyclass.artifacts import Head, atomic_write, writing
from everyclass.errors import (
    EveryclassError,
    InputError,
    MissingLibraryError,
    RunFailedError,
    first_line,
)
from everyclass.nn import logits_of, unwrapped

__all__ = ["TOLERANCE", "export_onnx", "export_program", "save_head", "save_weights"]

TOLERANCE = 1e-5
"""Largest difference of logits, relative to their size, between a network and what was written."""

_MOST_OF_ONNX = 2 * 2**30  # bytes that an ONNX file can have, weights and all

Example = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]


class _Logits(nn.Module):
    """A network that returns its logits and nothing else; its inputs by name if it has names."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.names:
            return logits_of(self.model(**dict(zip(self.names, inputs, strict=True))))
        return logits_of(self.model(*inputs))


def export_onnx(
    model: nn.Module, example: Example, path: str | Path, *, tolerance: float = TOLERANCE
) -> float:
    """Write a network as ONNX with a batch axis of any size, and check it in onnxruntime.

    The file is checked on the example and on its first sample alone, before it takes its name; so
    a file that is there is right.

    Args:
        model: returns logits, or something that has them as ``.logits``; used in eval mode on the
            CPU in float32, and not changed.
        example: a batch of at least two: a tensor, a tuple of them, or a dict by argument name.
        path: the ``.onnx`` file to write.
        tolerance: largest difference of a logit that is allowed, relative to the largest logit if
            that is above one.

    Returns:
        The largest difference that was found.

    Raises:
        MissingLibraryError: onnx, onnxscript or onnxruntime is not installed.
        InputError: the example is a batch of one, or the weights are 2 GB or more, which an ONNX
            file cannot hold.
        RunFailedError: the network cannot be exported, or the file says something else.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            "onnxruntime and onnxscript", "onnx onnxruntime onnxscript"
        ) from error
    _check_size(model)
    program, inputs, names, expected = _program(model, example)
    with _checked_file(path) as new, _exporting("torch.onnx.export"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.onnx.export(program, dynamo=True, input_names=names, verbose=False)
        assert made is not None
        made.save(str(new), external_data=False)
        session = onnxruntime.InferenceSession(str(new), providers=["CPUExecutionProvider"])
        arguments = [argument.name for argument in session.get_inputs()]
        worst = 0.0
        for rows in (slice(None), slice(1)):
            given = {name: each[rows].numpy() for name, each in zip(arguments, inputs, strict=True)}
            (said,) = session.run(None, given)
            worst = max(worst, _difference(said, expected[rows], tolerance, path))
    return worst


def export_program(
    model: nn.Module, example: Example, path: str | Path, *, tolerance: float = TOLERANCE
) -> float:
    """Write a network as a ``torch.export`` program (``.pt2``), and check what is read back.

    Args:
        model, example, tolerance: as in :func:`export_onnx`.
        path: the ``.pt2`` file to write; ``torch.export.load`` reads it without the network's code.

    Returns:
        The largest difference that was found.

    Raises:
        InputError: the example is a batch of one.
        RunFailedError: the network cannot be exported, or the file says something else.
    """
    program, inputs, _, expected = _program(model, example)
    with _checked_file(path) as new, _exporting("torch.export.export"):
        torch.export.save(program, new)
        again = torch.export.load(new).module()
        worst = 0.0
        with torch.no_grad():
            for rows in (slice(None), slice(1)):
                said = again(*(each[rows] for each in inputs)).numpy()
                worst = max(worst, _difference(said, expected[rows], tolerance, path))
    return worst


def save_head(head: Head, path: str | Path) -> float:
    """Write a head as ``.safetensors``, and check what :meth:`Head.load` reads back.

    Weight and bias are arrays; kind and scale, which a cosine head needs, are its metadata.

    Args:
        head: linear or cosine.
        path: the ``.safetensors`` file to write.

    Returns:
        The largest difference of a logit that was found.

    Raises:
        InputError: the name ends otherwise.
        RunFailedError: the file says something else.
    """
    if Path(path).suffix.lower() != ".safetensors":
        raise InputError(f"{path} has to end in .safetensors.")
    example = np.random.default_rng(0).normal(size=(8, head.num_features))
    with _checked_file(path) as new:
        head.save(new)
        return _difference(Head.load(new).logits(example), head.logits(example), TOLERANCE, path)


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write a network's ``state_dict`` as ``.safetensors``; weights that are shared once only.

    ``safetensors.torch.load_model(model, path)`` reads it into a network of the same make. A head
    by itself is written by :func:`save_head`.
    """
    from safetensors.torch import save_model

    with _checked_file(path) as new:
        save_model(unwrapped(model), str(new))


@contextmanager
def _checked_file(path: str | Path) -> Iterator[Path]:
    """A place to write and check a file, which takes its name only if nothing went wrong."""
    with writing(Path(path)), tempfile.TemporaryDirectory() as folder:
        name = Path(path)
        # Who reads it back goes by the ending, which is spelt W.SAFETENSORS on some systems.
        new = Path(folder) / (name.stem + name.suffix.lower())
        yield new
        with atomic_write(path) as stream:
            stream.write(new.read_bytes())


@contextmanager
def _exporting(by: str) -> Iterator[None]:
    """Say that the network cannot be exported, whatever somebody else's code raises in here."""
    try:
        yield
    except EveryclassError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # by the system, as of a full disk; without a number it is by Python
        raise RunFailedError(
            f"The network cannot be exported ({type(error).__name__}: {first_line(error)}); {by} "
            "says more."
        ) from error


def _check_size(model: nn.Module) -> None:
    numbers = sum(parameter.numel() for parameter in unwrapped(model).parameters())
    if numbers * 4 >= _MOST_OF_ONNX:
        raise InputError(
            f"The network's weights are {numbers * 4 / 2**30:.1f} GB in float32, and one ONNX file "
            "holds less than 2 GB; write a program instead: export_program(model, example, "
            '"model.pt2").'
        )


def _program(
    model: nn.Module, example: Example
) -> tuple[Any, tuple[Tensor, ...], list[str], npt.NDArray[Any]]:
    """The exported program, its inputs and their names, and what the network says to them."""
    model = unwrapped(model)
    names = tuple(example) if isinstance(example, Mapping) else ()
    inputs = tuple(example.values()) if isinstance(example, Mapping) else example
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if any(len(each) < 2 for each in inputs):
        raise InputError("The example is a batch of one; take two samples, or the size is fixed.")
    network = _Logits(copy.deepcopy(model).cpu().float().eval(), names).eval()
    inputs = tuple(x.cpu().float() if x.is_floating_point() else x.cpu() for x in inputs)
    batch = torch.export.Dim("batch", min=1)
    with _exporting("torch.export.export"), torch.no_grad():
        expected = network(*inputs).numpy()
        program = torch.export.export(
            network, inputs, dynamic_shapes={"inputs": tuple({0: batch} for _ in inputs)}
        )
    return program, inputs, list(names) or [f"input_{i}" for i in range(len(inputs))], expected


def _difference(
    said: npt.NDArray[Any], expected: npt.NDArray[Any], tolerance: float, path: str | Path
) -> float:
    worst = float(np.abs(said - expected).max())
    allowed = tolerance * max(1.0, float(np.abs(expected).max()))
    if not worst <= allowed:
        raise RunFailedError(
            f"{path} was not written: its logits differ from the network's by up to {worst:.2g}, "
            f"more than the tolerance {allowed:.2g}."
        )
    return worst
