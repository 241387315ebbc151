"""Named arrays in one file, written and read whole: ``.npz`` and ``.safetensors``."""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from everyclass.artifacts._files import atomic_write, existing_file
from everyclass.artifacts._memory import free_memory
from everyclass.artifacts._text import quoted
from everyclass.errors import FileFormatError, InputError, first_line

__all__ = [
    "array_members",
    "load_safetensors",
    "npy_header",
    "read_npz",
    "save_safetensors",
    "write_npz",
]


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as an uncompressed ``.npz`` without pickled objects."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise InputError(f"The array {name!r} holds Python objects and is not written.")
    with atomic_write(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def read_npz(path: str | Path, what: str = ".npz file") -> dict[str, np.ndarray]:
    """Read every array of an ``.npz`` file without executing anything.

    The size that each member claims in its header is compared with what the archive holds and
    with the memory that is free before any of it is read.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not an ``.npz`` file, truncated, with pickled objects, or claiming more
            bytes than it holds or than memory is free.
    """
    path = existing_file(path, what)
    if path.suffix.lower() == ".npy":
        raise FileFormatError(
            f"{path} holds one array and no names; write several into an .npz: "
            "numpy.savez(path, features=…, labels=…)."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = array_members(path, archive)
            _check_claims(path, archive, members)
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    name = member.filename.removesuffix(".npy")
                    arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
            return arrays
    except FileFormatError:
        raise
    except Exception as error:  # zlib.error, tokenize.TokenError, …: bytes can be wrong in any way
        raise FileFormatError(
            f"{path} is not a readable .npz file ({first_line(error)}); "
            "write it with numpy.savez, or check that the copy is complete."
        ) from error


def array_members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of an ``.npz`` file that are arrays; texts and folders beside them are not.

    Raises:
        FileFormatError: none at all, or two of the same name.
    """
    members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
    for member, count in Counter(m.filename for m in members).items():
        if count > 1:
            raise FileFormatError(
                f"{path} has two arrays called {quoted(member.removesuffix('.npy'))}; write it "
                "again with numpy.savez."
            )
    if archive.infolist() and not members:
        raise FileFormatError(f"{path} holds no arrays; write it with numpy.savez.")
    return members


def _check_claims(path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    total = 0
    for member in members:
        with archive.open(member) as stream:
            shape, _, dtype = npy_header(
                stream, member.file_size, str(path), quoted(member.filename), "the archive"
            )
        total += math.prod(shape) * max(dtype.itemsize, 1)
    if total > (free := free_memory()):
        raise FileFormatError(
            f"{path} unpacks to {total:,} bytes, more than the {free:,} bytes of free memory."
        )


def npy_header(
    stream: IO[bytes], held: int, path: str, name: str, holder: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array in the ``.npy`` format: shape, whether in Fortran order, dtype.

    Args:
        stream: at the array's beginning.
        held: how many bytes there are for header and data.
        path, name, holder: of the file, the array and what holds it, for messages.

    Raises:
        FileFormatError: pickled objects, or more bytes claimed than held.
    """
    version = np.lib.format.read_magic(stream)
    reader = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = reader(stream)
    if dtype.hasobject:
        raise FileFormatError(
            f"{path} holds pickled Python objects in {name}; they are never loaded: save plain "
            "numbers or strings instead."
        )
    claimed = math.prod(shape) * max(dtype.itemsize, 1)  # an empty string takes none
    if claimed > held:
        raise FileFormatError(
            f"{path} is damaged: {name} claims {claimed:,} bytes and {holder} holds {held:,}."
        )
    if min(shape, default=0) < 0:
        raise FileFormatError(f"{path} is damaged: {name} has the shape {shape}.")
    return shape, fortran, dtype


def save_safetensors(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write named arrays and string metadata as one ``.safetensors`` file."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_write(path) as stream:
        stream.write(save(contiguous, metadata=dict(metadata)))


def load_safetensors(
    path: str | Path, what: str = "safetensors file"
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read every array and the metadata of a ``.safetensors`` file.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not a safetensors file, or truncated.
    """
    from safetensors import safe_open

    path = existing_file(path, what)
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, dict(file.metadata() or {})
    except Exception as error:  # a dtype that NumPy lacks is an AttributeError
        raise FileFormatError(
            f"{path} is not a readable {what} ({first_line(error)}); make it again, as safetensors "
            "of float32 or float16, or check that the copy is complete."
        ) from error
