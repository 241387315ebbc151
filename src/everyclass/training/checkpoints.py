"""Checkpoints: one safetensors file that holds everything a run needs to go on bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from everyclass.artifacts import load_safetensors, save_safetensors
from everyclass.errors import FileFormatError

__all__ = ["load_checkpoint", "save_checkpoint"]

_VERSION = "1"


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and plain values as one file, atomically.

    Tensors become entries named by their path (``optimizer/state/0/momentum_buffer``); everything
    else goes as JSON into the file's metadata. Nothing is pickled.
    """
    tensors: dict[str, np.ndarray] = {}
    plain = _split(state, "", tensors)
    metadata = {"everyclass_checkpoint": _VERSION, "state": json.dumps(plain)}
    save_safetensors(path, tensors, metadata)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` wrote.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: damaged, or not a checkpoint.
    """
    tensors, metadata = load_safetensors(path, "checkpoint")
    if metadata.get("everyclass_checkpoint") != _VERSION:
        raise FileFormatError(f"{path} is not a checkpoint of this library (version {_VERSION}).")
    try:
        state = _join(json.loads(metadata["state"]), tensors)
        if not isinstance(state, dict):
            raise TypeError("its state is no dictionary")
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path} is a damaged checkpoint: {error}.") from error
    return state


def _split(value: Any, place: str, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(value, Tensor):
        tensors[place] = value.detach().cpu().numpy()
        return {"__tensor__": place, "shape": list(value.shape)}  # NumPy would widen a 0-d one
    if isinstance(value, dict):
        # Optimisers key their state by number; JSON would turn the keys into text.
        pairs = [[key, _split(item, f"{place}/{key}", tensors)] for key, item in value.items()]
        return {"__dict__": pairs}
    if isinstance(value, list | tuple):
        return [_split(item, f"{place}/{i}", tensors) for i, item in enumerate(value)]
    return value


def _join(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if "__tensor__" in value:
            tensor = torch.from_numpy(tensors[value["__tensor__"]].copy())
            return tensor.reshape(value.get("shape", tensor.shape))
        return {key: _join(item, tensors) for key, item in value["__dict__"]}
    if isinstance(value, list):
        return [_join(item, tensors) for item in value]
    return value
