"""Writing features that may be larger than memory: a folder of chunks, each safe once it is there.

    features.json            the manifest: shape, type, head, class names, and every chunk's sha256
    chunk-00000.npy          (rows, d), or (views, rows, d), float16 or float32
    chunk-00000-labels.npy   (rows,) int64
    chunk-00000-ids.npy      (rows,), where there are ids
    chunk-00000.json         written when the three are on disk: the chunk is done
    plan.json                what the folder is to hold; a restart is only ever with the same
    head.safetensors         the network's own last layer, where known

Which rows a chunk holds follows from its number alone, so any number of processes can make chunks
side by side, a killed one loses at most the chunk in its hands, and nothing is copied together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._checks import as_floats, as_ids, as_labels, as_names, names_in_order
from everyclass.artifacts._configurations import differences
from everyclass.artifacts._files import (
    atomic_write,
    entries,
    holds_something,
    plain_json,
    prepare_folder,
    read_json,
    sha256_of,
    write_json,
)
from everyclass.artifacts._text import some
from everyclass.artifacts.birth import version_of
from everyclass.artifacts.head import Head
from everyclass.errors import FileFormatError, InputError, OutputExistsError

__all__ = [
    "CHUNK_ROWS",
    "FORMAT",
    "MANIFEST",
    "FeatureFolder",
    "chunk_file",
    "is_feature_folder",
    "remove_features",
    "rows_per_chunk",
]

FORMAT = 1
MANIFEST = "features.json"
PLAN = "plan.json"
CHUNK_ROWS = 16_384


def rows_per_chunk(num_images: int) -> int:
    """A 32nd of the images, from 256 to 16,384: it must not follow the number of processes."""
    return min(CHUNK_ROWS, max(256, -(-num_images // 32)))


_PARTS = ("", "-labels", "-ids")
_HEAD = "head.safetensors"
_LEFT_OUT = "bad-images.csv"


def is_feature_folder(path: Path) -> bool:
    """Whether a folder holds features, finished or begun."""
    return any((path / name).is_file() for name in (MANIFEST, PLAN))


def remove_features(folder: str | Path) -> None:
    """Delete the features that a folder holds, finished or begun.

    Args:
        folder: left as it is where it holds none.

    Raises:
        OutputExistsError: it also holds something else; nothing is deleted.
    """
    folder = Path(folder)
    if not is_feature_folder(folder):
        return
    # The manifest goes first and the plan last: stopped in between, it is a folder that was begun.
    chunks = sorted(folder.glob("chunk-*.json")) + sorted(folder.glob("chunk-*.npy"))
    ours = [folder / MANIFEST, *chunks, folder / _HEAD, folder / _LEFT_OUT, folder / PLAN]
    others = [path.name for path in entries(folder) if path not in ours]
    if others:
        raise OutputExistsError(
            f"{folder} holds {some(others)} beside its features; name another folder, or move it."
        )
    for path in ours:
        path.unlink(missing_ok=True)


def chunk_file(folder: Path, chunk: int, part: str = "") -> Path:
    """Where a chunk's features, or its ``-labels`` or ``-ids``, are."""
    return folder / f"chunk-{chunk:05d}{part}.npy"


class FeatureFolder:
    """A features folder in the making.

    Args:
        folder: made if it is not there; one with the same plan is gone on with.
        num_images: n, of all chunks together.
        num_features: d.
        num_views: of each image.
        dtype: "float16" takes half the room, and is exact to three digits; "float32".
        chunk_rows: images per chunk.
        plan: whatever else the features follow from, such as a network and a seed: plain values.

    Raises:
        OutputExistsError: the folder holds something else.
        InputError: it was begun with another plan; the differences are named.

    Example:
        >>> import tempfile
        >>> from everyclass.artifacts import Features
        >>> with tempfile.TemporaryDirectory() as place:
        ...     folder = FeatureFolder(f"{place}/train", num_images=5, num_features=2, chunk_rows=3)
        ...     for chunk in folder.missing():
        ...         rows = folder.rows(chunk)
        ...         folder.write(chunk, np.ones((len(rows), 2)), np.array(rows) % 2)
        ...     folder.finish(class_names=["a", "b"])
        ...     len(Features.load(f"{place}/train"))
        5
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        num_images: int,
        num_features: int,
        num_views: int = 1,
        dtype: str = "float16",
        chunk_rows: int = CHUNK_ROWS,
        plan: Mapping[str, Any] | None = None,
    ) -> None:
        if dtype not in ("float16", "float32"):
            raise InputError(f"dtype must be 'float16' or 'float32'; got {dtype!r}.")
        sizes = {
            "num_images": num_images,
            "num_features": num_features,
            "num_views": num_views,
            "chunk_rows": chunk_rows,
        }
        for name, size in sizes.items():
            if size < 1:
                raise InputError(f"{name} must be at least 1; got {size}.")
        self.folder = Path(folder)
        self.num_images, self.num_features = num_images, num_features
        self.num_views, self.chunk_rows = num_views, chunk_rows
        self.dtype = np.dtype(dtype)
        self._plan = {"format": FORMAT, "dtype": dtype, **sizes, "plan": dict(plan or {})}
        self._begin()

    def _begin(self) -> None:
        path, asked = self.folder / PLAN, plain_json(self._plan)
        if not path.is_file():
            held = self.folder.is_dir() and holds_something(self.folder)
            if held and not path.is_file():  # which another process may have written meanwhile
                raise OutputExistsError(
                    f"{self.folder} is not empty and no features folder; name another one."
                )
            prepare_folder(self.folder, overwrite=True)
            write_json(path, asked)
        different = differences(read_json(path, "plan of features"), asked)
        if different:
            raise InputError(
                f"{self.folder} was begun with another plan ({'; '.join(different)}); "
                "name another folder, ask for the same, or remove what is there "
                "(overwrite, --overwrite)."
            )

    @property
    def num_chunks(self) -> int:
        """How many chunks there are to be."""
        return -(-self.num_images // self.chunk_rows)

    def rows(self, chunk: int) -> range:
        """The images of a chunk."""
        start = chunk * self.chunk_rows
        return range(start, min(start + self.chunk_rows, self.num_images))

    def missing(self, *, share: int = 0, of: int = 1) -> list[int]:
        """The chunks that are not done yet, of those whose number is ``share`` modulo ``of``.

        Args:
            share, of: the number of this process, and how many there are.
        """
        return [c for c in range(share, self.num_chunks, of) if not self._is_done(c)]

    def begins_with(self, features: Any, labels: Any) -> bool:
        """Whether what is there begins with these images; yes where nothing is there yet.

        Args:
            features: (rows, d) of the first images, which another processor may round otherwise.
            labels: (rows,).
        """
        if not self._is_done(0):
            return True
        rows = slice(len(labels))
        stored, classes = (
            np.load(chunk_file(self.folder, 0, part), mmap_mode="r", allow_pickle=False)
            for part in ("", "-labels")
        )
        there = stored.reshape(self.num_views, -1, self.num_features)[0, rows].astype(np.float64)
        if not np.array_equal(classes[rows], labels):
            return False
        return bool(np.abs(there - features).max() <= 0.02 * np.abs(there).max())

    def write(
        self,
        chunk: int,
        features: Any,
        labels: Any,
        ids: Any = None,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        """Write one chunk; it counts only when all of it is on disk.

        Args:
            chunk: its number.
            features: (rows, d), or (views, rows, d); finite.
            labels: (rows,).
            ids: (rows,) or None.
            left_out: why pictures of this chunk are not in it, by path; only then it may have fewer
                rows than planned.

        Raises:
            InputError: other shapes than planned, or numbers too large for float16.
            OutputError: no permission, or no space.
        """
        count = len(self.rows(chunk))
        if left_out:
            count = min(count, len(labels))
        if count:
            stored, classes = self._stored(chunk, features, count), as_labels(labels, length=count)
        else:  # none of its pictures could be read
            stored = np.empty((self.num_views, 0, self.num_features), self.dtype)
            classes = np.empty(0, np.int64)
        parts = {
            "": stored[0] if self.num_views == 1 else stored,
            "-labels": classes,
            "-ids": as_ids(ids, count) if count else None,  # of nothing they have no type
        }
        receipt: dict[str, Any] = {"rows": count, "sha256": {}, "bytes": {}}
        if left_out:
            receipt["left_out"] = dict(left_out)
        for part in _PARTS:
            values = parts[part]
            if values is not None:
                path = chunk_file(self.folder, chunk, part)
                receipt["sha256"][path.name] = _write_npy(path, values)
                receipt["bytes"][path.name] = path.stat().st_size
        write_json(self._receipt(chunk), receipt)

    def _stored(self, chunk: int, features: Any, count: int) -> npt.NDArray[Any]:
        """Features of a chunk as they are kept: (views, rows, d)."""
        array = as_floats(features, name="features", ndim=(2, 3))
        shape = (self.num_views, count, self.num_features)
        if self.num_views == 1 and array.ndim == 2:
            array = array[None]
        if array.shape != shape:
            raise InputError(
                f"Chunk {chunk} is planned with features of shape {shape} (views, images, width); "
                f"got {array.shape}."
            )
        with np.errstate(over="ignore"):
            stored = array.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise InputError(
                f"Chunk {chunk} holds {np.abs(array).max():.4g}, beyond the range of "
                f"{self.dtype}; store float32."
            )
        return stored

    def finish(self, *, head: Head | None = None, class_names: Sequence[str] | None = None) -> None:
        """Write the manifest: from now on the folder can be read.

        Args:
            head: the network's own last layer.
            class_names: C names in class order.

        Raises:
            InputError: chunks are missing, or all of them are empty; head or names do not fit what
                the chunks hold.
        """
        missing = self.missing()
        if missing:
            raise InputError(
                f"{len(missing)} of {self.num_chunks} chunks are missing in {self.folder}, the "
                f"first of them {missing[0]}; make them first."
            )
        receipts = self._receipts()
        images = sum(receipt["rows"] for receipt in receipts)
        if images == 0:
            path, reason = next(iter(self.left_out().items()))
            raise InputError(
                f"None of the {self.num_images:,} pictures can be used, the first of them {path} "
                f"({reason}); is this the data?"
            )
        names = self._checked_names(head, class_names)
        if head is not None:
            head.save(self.folder / _HEAD)
        write_json(
            self.folder / MANIFEST,
            {
                **self._plan,
                "num_images": images,
                "class_names": names,
                "has_head": head is not None,
                "versions": {name: version_of(name) for name in ("everyclass", "numpy")},
                "chunks": receipts,
            },
        )

    def _checked_names(
        self, head: Head | None, class_names: Sequence[str] | None
    ) -> tuple[str, ...] | None:
        """The class names, if the folder can be read with them and this head."""
        if head is not None and head.num_features != self.num_features:
            raise InputError(
                f"The head takes features of width {head.num_features} and these have "
                f"{self.num_features}: it belongs to another network."
            )
        stored = (np.load(chunk_file(self.folder, c, "-labels")) for c in range(self.num_chunks))
        most = max(int(labels.max()) for labels in stored if labels.size) + 1
        classes = most if head is None else head.num_classes
        if head is None and class_names is not None:
            classes = len(names_in_order(class_names))
        if most > classes:
            raise InputError(
                f"The chunks hold labels up to {most - 1} and there are {classes} classes "
                f"(0..{classes - 1}); give the head and the names of all of them."
            )
        return as_names(class_names, classes)

    def left_out(self) -> dict[str, str]:
        """Why pictures are not in the chunks that are done, by path."""
        return {
            path: reason
            for receipt in self._receipts()
            for path, reason in receipt.get("left_out", {}).items()
        }

    def _receipts(self) -> list[dict[str, Any]]:
        done = (c for c in range(self.num_chunks) if self._is_done(c))
        return [read_json(self._receipt(chunk), "receipt of a chunk") for chunk in done]

    def _receipt(self, chunk: int) -> Path:
        return self.folder / f"chunk-{chunk:05d}.json"

    def _is_done(self, chunk: int) -> bool:
        path = self._receipt(chunk)
        if not path.is_file():
            return False
        try:
            sizes = dict(read_json(path, "receipt of a chunk")["bytes"])
            return all((self.folder / name).stat().st_size == sizes[name] for name in sizes)
        except (FileFormatError, KeyError, TypeError, ValueError, OSError):
            return False  # made again


def _write_npy(path: Path, array: npt.NDArray[Any]) -> str:
    """Write an ``.npy`` and return the sha256 of its bytes."""
    with atomic_write(path) as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return sha256_of(path)
