"""Reading the pickles that CIFAR is published as, without running what a pickle may hold."""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from everyclass.artifacts import existing_file
from everyclass.errors import FileFormatError

__all__ = ["load_plain_pickle"]


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    """Stand in for NumPy's array constructor: admits only the empty array that pickling starts."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("an array of unusual construction")
    return np.ndarray((0,), dtype="b")


def _plain_dtype(code: Any, *flags: Any) -> np.dtype[Any]:
    """Stand in for NumPy's dtype: admits whole numbers and floats only."""
    dtype = np.dtype(code)
    if dtype.kind not in "biuf":
        raise pickle.UnpicklingError(f"an array of {dtype}")
    return dtype


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("an unusual string encoding")
    return codecs.encode(text, "latin1")


_ADMITTED: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _plain_dtype,
    ("_codecs", "encode"): _encode,
}


class _PlainUnpickler(pickle.Unpickler):
    """Admits arrays, lists, dicts, strings and numbers; anything else is refused by name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"the name {module}.{name}")
        return _ADMITTED[module, name]


def load_plain_pickle(path: str | Path) -> Any:
    """Read a pickle of arrays, lists, dicts, strings and numbers; byte strings become text.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: the pickle is damaged or holds anything else; nothing of it is run.
    """
    path = existing_file(path, "data batch")
    try:
        with open(path, "rb") as stream:
            return _PlainUnpickler(stream, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise FileFormatError(
            f"{path} is refused: it holds {error}; only arrays, lists, strings and numbers are "
            "read from a pickle."
        ) from error
    except Exception as error:
        raise FileFormatError(f"{path} is not a readable CIFAR batch: {error}.") from error
