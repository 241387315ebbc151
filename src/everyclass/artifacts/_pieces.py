"""Arrays on disk that are read a few rows at a time: ``.npy``, ``.npz``, ``.safetensors``.

Rows are read, not mapped: a mapped file counts as memory of the process, and ends it when somebody
else truncates the file. Only an array in Fortran order, whose rows are scattered, is mapped.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._archives import array_members, npy_header
from everyclass.artifacts._files import existing_file
from everyclass.artifacts._memory import free_memory
from everyclass.artifacts._text import quoted
from everyclass.errors import FileFormatError, first_line

__all__ = ["StoredArray", "open_arrays", "open_npy"]

Array = npt.NDArray[Any]


class StoredArray(Protocol):
    """An array on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, known without reading it."""

    @property
    def nbytes(self) -> int:
        """The memory that it takes when it is read."""

    def rows(self, start: int, stop: int) -> Array:
        """Read ``array[start:stop]``."""

    def whole(self) -> Array:
        """Read all of it."""


def open_npy(path: Path, what: str) -> StoredArray:
    """Open an ``.npy`` file.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: no such file, truncated, or with pickled objects.
    """
    path = existing_file(path, what)
    with _readable(path, ".npy file"), open(path, "rb") as stream:
        held = path.stat().st_size
        header = npy_header(stream, held, str(path), "the array", "the file")
        return _checked(_Plain(path, stream.tell(), *header), held)


def open_arrays(path: Path, what: str) -> dict[str, StoredArray]:
    """Open every array of an ``.npz`` or ``.safetensors`` file, by name.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: no such file, truncated, with pickled objects, or with compressed arrays
            that claim more memory than is free.
    """
    path = existing_file(path, what)
    if path.suffix.lower() == ".safetensors":
        from safetensors import safe_open

        with _readable(path, what):
            file = safe_open(path, framework="numpy")
            return {name: _Tensor(path, file, name) for name in list(file.keys())}  # type: ignore[no-untyped-call]
    with _readable(path, ".npz file"), zipfile.ZipFile(path) as archive:
        arrays: dict[str, StoredArray] = {
            m.filename.removesuffix(".npy"): _member(path, archive, m)
            for m in array_members(path, archive)
        }
    unpacked = sum(array.nbytes for array in arrays.values() if isinstance(array, _Packed))
    if unpacked > (free := free_memory()):
        raise FileFormatError(
            f"{path} unpacks to {unpacked:,} bytes, more than the {free:,} bytes of free memory; "
            "write it with numpy.savez, uncompressed, to have it read in pieces."
        )
    return arrays


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """Whatever goes wrong in here is the file's fault: bytes can be wrong in any way."""
    try:
        yield
    except FileFormatError:
        raise
    except Exception as error:
        raise FileFormatError(
            f"{path} is not a readable {what} ({first_line(error)}); write it again, or check that "
            "the copy is complete."
        ) from error


@dataclass(frozen=True)
class _Plain:
    """An array whose bytes lie in a file as they are in memory."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def rows(self, start: int, stop: int) -> Array:
        with _readable(self.path, "array file"):
            if self.dtype.itemsize == 0:
                return np.zeros(self.shape, self.dtype)[start:stop]
            if self.fortran and len(self.shape) > 1:
                everything = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, "F")
                return np.array(everything[start:stop])
            stop = min(stop, self.shape[0])
            each = math.prod(self.shape[1:])
            values = np.fromfile(
                self.path,
                self.dtype,
                count=max(0, stop - start) * each,
                offset=self.offset + start * each * self.dtype.itemsize,
            )
            return values.reshape(-1 if each else stop - start, *self.shape[1:])

    def whole(self) -> Array:
        if not self.shape:
            return _Plain(self.path, self.offset, (1,), False, self.dtype).rows(0, 1).reshape(())
        return self.rows(0, self.shape[0])


def _checked(array: _Plain, end: int) -> _Plain:
    if array.offset + array.nbytes > end:
        raise FileFormatError(
            f"{array.path} is cut off: an array of {array.nbytes:,} bytes begins at byte "
            f"{array.offset:,} and the file ends at {end:,}; check that the copy is complete."
        )
    return array


@dataclass(frozen=True)
class _Packed:
    """A compressed member of an archive: unpacked whole, when it is first asked for."""

    path: Path
    name: str
    shape: tuple[int, ...]
    nbytes: int

    @cached_property
    def _values(self) -> Array:
        with (
            _readable(self.path, ".npz file"),
            zipfile.ZipFile(self.path) as archive,
            archive.open(self.name) as stream,
        ):
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))

    def rows(self, start: int, stop: int) -> Array:
        return self._values[start:stop]

    def whole(self) -> Array:
        return self._values


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Plain | _Packed:
    with archive.open(member) as stream:  # compares the names in the directory and before the data
        name = quoted(member.filename)
        header = npy_header(stream, member.file_size, str(path), name, "the archive")
        length = stream.tell()
    if member.compress_type != zipfile.ZIP_STORED:
        shape, _, dtype = header
        return _Packed(path, member.filename, shape, math.prod(shape) * dtype.itemsize)
    with open(path, "rb") as file:
        file.seek(member.header_offset + 26)  # lengths of the name and the extra field, then both
        before = 30 + sum(np.frombuffer(file.read(4), "<u2").tolist())
    begin = member.header_offset + before
    end = min(begin + member.compress_size, path.stat().st_size)
    return _checked(_Plain(path, begin + length, *header), end)


@dataclass(frozen=True)
class _Tensor:
    path: Path
    file: Any
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.file.get_slice(self.name).get_shape())

    @property
    def nbytes(self) -> int:
        bits = re.search(r"\d+", self.file.get_slice(self.name).get_dtype())  # F32, I64, BOOL, …
        return math.prod(self.shape) * (int(bits[0]) // 8 if bits else 1)

    def rows(self, start: int, stop: int) -> Array:
        with _readable(self.path, "safetensors file"):
            self._check_type()
            return np.asarray(self.file.get_slice(self.name)[start:stop])

    def whole(self) -> Array:
        with _readable(self.path, "safetensors file"):
            self._check_type()
            return np.asarray(self.file.get_tensor(self.name))

    def _check_type(self) -> None:
        kind = self.file.get_slice(self.name).get_dtype()
        if kind.startswith(("BF", "F8")):
            raise FileFormatError(
                f"{self.path} holds {quoted(self.name)} as {kind}, which NumPy lacks; save it as "
                "float32 or float16."
            )
