"""Reading the pickles that CIFAR is published as, without running what a pickle may hold."""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from everyclass.artifacts import existing_file
from everyclass.errors import FileFormatError

__all__ = ["load_plain_pickle"]


class _RefusedError(pickle.UnpicklingError):
    """The pickle holds something that is not admitted."""


_NDARRAY = object()  # the name numpy.ndarray; not the type, which a pickle could call


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    """Stand in for NumPy's array constructor: admits only the empty array that pickling starts."""
    if kind is not _NDARRAY or shape != (0,):
        raise _RefusedError("an array of unusual construction")
    return np.ndarray((0,), dtype="b")


def _byte_dtype(code: Any, *flags: Any) -> np.dtype[Any]:
    """Stand in for NumPy's dtype: admits bytes, the only kind in CIFAR's files.

    What a pickle goes on to say about a dtype (byte order, fields, "holds objects") NumPy believes
    unread, except of its own immutable ones, such as this.
    """
    if code not in ("u1", "|u1"):
        raise _RefusedError(f"an array of dtype {code!r} instead of uint8")
    return np.dtype("u1")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("an unusual string encoding")
    return codecs.encode(text, "latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _byte_dtype,
    ("_codecs", "encode"): _encode,
}


class _PlainUnpickler(pickle.Unpickler):
    """Admits arrays of bytes, lists, dicts, strings and numbers; refuses all else by name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _RefusedError(f"the name {module}.{name}")
        return _ADMITTED[module, name]


def load_plain_pickle(path: str | Path) -> dict[str, Any]:
    """Read a pickled dict of arrays, lists, strings and numbers; keys that are bytes become text.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: the pickle is damaged or holds anything else; nothing of it is run.
    """
    path = existing_file(path, "data batch")
    try:
        with open(path, "rb") as stream:
            value = _PlainUnpickler(stream, encoding="latin1").load()
    except _RefusedError as error:
        raise FileFormatError(
            f"{path} is refused: it holds {error}; only arrays of bytes, lists, strings and "
            "numbers are read from a pickle."
        ) from error
    except Exception as error:
        raise FileFormatError(f"{path} is not a readable CIFAR batch: {error}.") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path} holds a {type(value).__name__}; a dict is needed.")
    return {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in value.items()}
