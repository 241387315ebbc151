"""Features that stay on disk: the same artifact, read where it is asked."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._checks import as_labels, as_names
from everyclass.artifacts._files import read_json, sha256_of
from everyclass.artifacts._memory import free_memory
from everyclass.artifacts._pieces import open_npy
from everyclass.artifacts.feature_folder import FORMAT, MANIFEST, chunk_file
from everyclass.artifacts.features import Features
from everyclass.artifacts.head import Head
from everyclass.errors import (
    EveryclassError,
    FileFormatError,
    InputError,
    MissingFileError,
    naming,
)

__all__ = ["StoredFeatures"]


class StoredFeatures(Features):
    """A folder that :class:`FeatureFolder` wrote, as :class:`Features`.

    Labels, ids and head are in memory. :meth:`at` reads rows; ``features`` and ``views`` read
    everything, once, if there is room for it.
    """

    folder: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    starts: npt.NDArray[np.int64]
    _stored_views: int
    _sums: list[dict[str, str]]

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        try:
            with naming(folder):
                self._read(folder)
        except EveryclassError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{folder / MANIFEST} is damaged or incomplete ({type(error).__name__}: {error})."
            ) from error

    def _read(self, folder: Path) -> None:
        if not (folder / MANIFEST).is_file():
            begun = "; it was begun and is not finished" * (folder / "plan.json").is_file()
            raise MissingFileError(f"there is no {MANIFEST}, so this is no features folder{begun}.")
        manifest = read_json(folder / MANIFEST, "manifest of features")
        if manifest.get("format") != FORMAT:
            raise FileFormatError(
                f"its format is {manifest.get('format')}, and this version reads {FORMAT}; "
                "a newer one may."
            )
        sizes = [int(manifest[name]) for name in ("num_views", "num_images", "num_features")]
        rows = [int(chunk["rows"]) for chunk in manifest["chunks"]]
        if min(sizes) < 1 or min(rows) < 0 or sum(rows) != sizes[1]:
            raise FileFormatError(f"its chunks hold {sum(rows)} images, which is not {sizes[1]}.")
        self._set("folder", folder)
        self._set("shape", tuple(sizes))
        self._set("_stored_views", sizes[0])
        self._set("dtype", np.dtype(str(manifest["dtype"])))
        self._set("starts", np.cumsum([0, *rows]))
        self._set("_sums", [dict(chunk["sha256"]) for chunk in manifest["chunks"]])
        self._set("head", Head.load(folder / "head.safetensors") if manifest["has_head"] else None)
        labels = self._column("-labels")
        names = manifest.get("class_names")
        classes = len(names) if names else None
        if self.head is not None:
            classes = self.head.num_classes
            if self.head.num_features != self.num_features:
                raise InputError(
                    f"the head takes features of width {self.head.num_features} and these have "
                    f"{self.num_features}: it belongs to another network."
                )
        self._set("labels", as_labels(labels, num_classes=classes, length=len(self)))
        self._set("class_names", as_names(names, classes or int(self.labels.max()) + 1))
        held = [chunk_file(folder, c, "-ids").is_file() for c, count in enumerate(rows) if count]
        self._set("ids", self._column("-ids") if all(held) else None)
        for chunk in range(len(rows)):
            self._mapped(chunk)  # truncated files are found here, not in the middle of a fit

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _column(self, part: str) -> npt.NDArray[Any]:
        parts = []
        for chunk, count in enumerate(np.diff(self.starts).tolist()):
            if not count:  # what an empty one holds has no type of its own
                continue
            stored = open_npy(chunk_file(self.folder, chunk, part), "chunk of features")
            if stored.shape != (count,):
                raise FileFormatError(f"chunk {chunk}{part} has the shape {stored.shape}.")
            parts.append(stored.whole())
        return np.concatenate(parts)

    def _mapped(self, chunk: int) -> npt.NDArray[Any]:
        """A chunk's features as (views · rows, d), mapped for as long as the array lives."""
        path = chunk_file(self.folder, chunk)
        stored: Any = open_npy(path, "chunk of features")
        views, width = self._stored_views, self.num_features
        count = int(self.starts[chunk + 1] - self.starts[chunk])
        wanted = (count, width) if views == 1 else (views, count, width)
        if stored.shape != wanted or stored.dtype != self.dtype or stored.fortran:
            raise FileFormatError(
                f"{path.name} holds {stored.dtype} of shape {stored.shape}; the manifest says "
                f"{self.dtype} of shape {wanted}."
            )
        if count == 0:  # none of its pictures could be read, and nothing cannot be mapped
            return np.empty((0, width), self.dtype)
        return np.memmap(path, self.dtype, "r", stored.offset, (views * count, width))

    def __repr__(self) -> str:
        views, images, width = self.shape
        return f"StoredFeatures({str(self.folder)!r}: {views} × {images} × {width} {self.dtype})"

    def __len__(self) -> int:
        return self.shape[1]

    @property
    def num_views(self) -> int:
        """How many views of each image there are."""
        return self.shape[0]

    @property
    def num_features(self) -> int:
        """d, the width."""
        return self.shape[2]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the chunks' own, as the manifest has them."""
        return hashlib.sha256(json.dumps(self._sums, sort_keys=True).encode()).hexdigest()

    @property
    def nbytes(self) -> int:
        """What all features take in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @cached_property
    def features(self) -> npt.NDArray[np.floating[Any]]:
        """Everything, read into memory.

        Raises:
            InputError: there is less free memory than that.
        """
        if self.nbytes > (free := free_memory()):
            raise InputError(
                f"{self.folder} holds {self.nbytes:,} bytes of features and {free:,} bytes of "
                "memory are free; what goes through them row by row is retraining with a penalty "
                "that is set, or with validation features."
            )
        everything = self.at(np.arange(self.shape[0] * self.shape[1]))
        return everything if self.shape[0] == 1 else everything.reshape(self.shape)

    def at(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating[Any]]:
        """(k, d) features at flat rows: row view · n + image."""
        rows = np.asarray(rows)
        _, images, width = self.shape
        out = np.empty((len(rows), width), self.dtype)
        view, image = np.divmod(rows, images)
        chunk_of = np.searchsorted(self.starts, image, side="right") - 1
        counts = np.diff(self.starts)
        for chunk in np.unique(chunk_of).tolist():
            here = np.flatnonzero(chunk_of == chunk)
            place = view[here] * counts[chunk] + image[here] - self.starts[chunk]
            out[here] = self._mapped(chunk)[place]
        return out

    def take(self, rows: npt.NDArray[np.intp]) -> Features:
        """The images at ``rows``, all their views, in memory."""
        views, images, width = self.shape
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        flat = (np.arange(views)[:, None] * images + rows).reshape(-1)
        read = self.at(flat)
        return Features(
            read if views == 1 else read.reshape(views, -1, width),
            self.labels[rows],
            self.head,
            self.class_names,
            None if self.ids is None else self.ids[rows],
        )

    def first_views(self, most: int) -> Features:
        """The first views only, at most so many of them; nothing is read."""
        other = self._copy()
        other._set("shape", (min(most, self.num_views), *self.shape[1:]))
        return other

    def with_classes(
        self,
        labels: npt.NDArray[np.int64],
        head: Head | None,
        class_names: tuple[str, ...] | None,
    ) -> Features:
        """The same features with their classes numbered anew; nothing is read."""
        Features.check_head(head, self.num_features)
        classes = len(class_names) if class_names is not None else None
        if head is not None:
            classes = head.num_classes
        labels = as_labels(labels, num_classes=classes, length=len(self))
        other = self._copy()
        other._set("head", head)
        other._set("labels", labels)
        other._set("class_names", as_names(class_names, classes or int(labels.max()) + 1))
        return other

    def _copy(self) -> StoredFeatures:
        other = object.__new__(StoredFeatures)
        kept = {name: value for name, value in self.__dict__.items() if name != "features"}
        other.__dict__.update(kept)
        return other

    def verify(self) -> None:
        """Read every chunk and compare it with the sha256 of the manifest.

        Raises:
            FileFormatError: a file is not what was written; it is named.
        """
        for sums in self._sums:
            for name, expected in sums.items():
                path = self.folder / name
                here = Path(name).name == name and path.is_file()
                if not here or sha256_of(path) != expected:
                    raise FileFormatError(
                        f"{path} is not what was written there; make its chunk again."
                    )
