"""Cached features: what a frozen backbone says about images, once and for all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._archives import read_npz, write_npz
from everyclass.artifacts._checks import (
    as_float32,
    as_floats,
    as_ids,
    as_labels,
    as_names,
    names_in_order,
    stored_names,
)
from everyclass.artifacts.class_counts import ClassCounts
from everyclass.artifacts.head import Head
from everyclass.errors import FileFormatError, InputError, naming

__all__ = ["Features"]


@dataclass(frozen=True, eq=False)
class Features:
    """Vectors in front of a network's last layer, with labels and, where known, that layer.

    Attributes:
        features: (n, d), or (views, n, d) for several augmented views of the same images;
            float32 or float16, finite.
        labels: (n,) int64.
        head: the network's own last layer, the "old" classifier, or None.
        class_names: C names in class order, or None.
        ids: (n,) one id per image, or None.

    Example:
        >>> train = Features(np.random.default_rng(0).normal(size=(6, 4)), [0, 0, 0, 1, 1, 2])
        >>> train.num_views, len(train), train.class_counts.counts.tolist()
        (1, 6, [3, 2, 1])
    """

    features: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.int64]
    head: Head | None = None
    class_names: tuple[str, ...] | None = None
    ids: npt.NDArray[Any] | None = None

    def __post_init__(self) -> None:
        features = as_floats(self.features, name="features", ndim=(2, 3))
        if features.dtype not in (np.float16, np.float32):
            features = as_float32(features, name="features")
        classes = self.head.num_classes if self.head is not None else None
        if classes is None and self.class_names is not None:
            classes = len(names_in_order(self.class_names))
        labels = as_labels(self.labels, num_classes=classes, length=features.shape[-2])
        self.check_head(self.head, features.shape[-1])
        classes = classes or int(labels.max()) + 1
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "class_names", as_names(self.class_names, classes))
        object.__setattr__(self, "ids", as_ids(self.ids, len(labels)))

    @staticmethod
    def check_head(head: Head | None, width: int) -> None:
        """Refuse a head for features of another width.

        Raises:
            InputError: both widths.
        """
        if head is not None and head.num_features != width:
            raise InputError(
                f"The head takes features of width {head.num_features} and these have "
                f"{width}: it belongs to another network."
            )

    def __repr__(self) -> str:
        head = "no head" if self.head is None else f"a {self.head.kind} head"
        return (
            f"Features({self.num_views} × {len(self)} × {self.num_features} {self.features.dtype}, "
            f"{self.num_classes} classes, {head})"
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_views(self) -> int:
        """How many views of each image there are."""
        return 1 if self.features.ndim == 2 else self.features.shape[0]

    @property
    def num_features(self) -> int:
        """d, the width."""
        return int(self.features.shape[-1])

    @property
    def num_classes(self) -> int:
        """C: of the head, else the number of names, else the largest label + 1."""
        if self.head is not None:
            return self.head.num_classes
        return len(self.class_names) if self.class_names else int(self.labels.max()) + 1

    @property
    def class_counts(self) -> ClassCounts:
        """Images per class (not views)."""
        return ClassCounts.from_labels(
            self.labels, num_classes=self.num_classes, names=self.class_names
        )

    @property
    def views(self) -> npt.NDArray[np.floating[Any]]:
        """The features as (views, n, d)."""
        return self.features[None] if self.features.ndim == 2 else self.features

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all views."""
        return hashlib.sha256(np.ascontiguousarray(self.features).data).hexdigest()

    @property
    def nbytes(self) -> int:
        """What all features take in memory."""
        return self.features.nbytes

    def at(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating[Any]]:
        """(k, d) features at flat rows: row view · n + image."""
        return self.views.reshape(-1, self.num_features)[rows]

    def take(self, rows: npt.NDArray[np.intp]) -> Features:
        """The images at ``rows``, all their views."""
        return Features(
            self.features[..., rows, :],
            self.labels[rows],
            self.head,
            self.class_names,
            None if self.ids is None else self.ids[rows],
        )

    def first_views(self, most: int) -> Features:
        """The first views only, at most so many of them."""
        if self.num_views <= most:
            return self
        return Features(self.views[:most], self.labels, self.head, self.class_names, self.ids)

    def with_head(self, head: Head | None) -> Features:
        """The same features in front of another last layer.

        Raises:
            InputError: the head has another width, or fewer classes than the labels name.
        """
        return self.with_classes(self.labels, head, self.class_names)

    def with_classes(
        self,
        labels: npt.NDArray[np.int64],
        head: Head | None,
        class_names: tuple[str, ...] | None,
    ) -> Features:
        """The same features with their classes numbered anew.

        Args:
            labels: (n,) the images' classes.
            head: a last layer of these classes, or None.
            class_names: in their order, or None.

        Raises:
            InputError: the head has another width, or fewer classes than the labels name.
        """
        return Features(self.features, labels, head, class_names, self.ids)

    def checked_against(self, train: Features, what: str) -> Features:
        """These features with the classes of the training features they go with.

        Args:
            train: the training features.
            what: what to call these in an error, such as the file's name.

        Raises:
            InputError: what :meth:`check_goes_with` says.
        """
        self.check_goes_with(
            what,
            num_features=train.num_features,
            num_classes=train.num_classes,
            class_names=train.class_names,
        )
        return self.with_classes(self.labels, train.head, train.class_names)

    def check_goes_with(
        self,
        what: str,
        *,
        num_features: int,
        num_classes: int,
        class_names: Sequence[str] | None,
    ) -> None:
        """Refuse features of another network, or whose classes are numbered otherwise.

        Labels are numbers, so that nothing else shows that they mean other classes.

        Args:
            what: what to call these in an error, such as the file's name.
            num_features: the width of the training features.
            num_classes: C, of training.
            class_names: C names, or None where they are not known.

        Raises:
            InputError: another width, another number of classes, other names, or a label from C on.
        """
        if self.num_features != num_features:
            raise InputError(
                f"{what} has features of width {self.num_features} and the training features have "
                f"{num_features}: they come from different networks."
            )
        names = zip(self.class_names or (), class_names or (), strict=False)
        for index, (name, known) in enumerate(names):
            if name != known:
                raise InputError(
                    f"{what} calls class {index} {name!r} and the training features call it "
                    f"{known!r}: the labels are numbered differently; number them as in training."
                )
        if self.class_names is not None and len(self.class_names) != num_classes:
            raise InputError(
                f"{what} has names of {len(self.class_names):,} classes and training has "
                f"{num_classes:,} classes; give the names of training, in their order, or none."
            )
        if self.labels.max() >= num_classes:
            row = int(np.argmax(self.labels >= num_classes))
            raise InputError(
                f"{what}: labels[{row}] is {self.labels[row]}, and training knows only classes "
                f"0..{num_classes - 1}."
            )

    def save(self, path: str | Path) -> None:
        """Write an ``.npz``: features, labels, and ids, class_names, head_* where known.

        Raises:
            InputError: the name ends otherwise.
            OutputError: no permission, or no space.
        """
        if Path(path).suffix.lower() != ".npz":
            raise InputError(f"{path} has to end in .npz, which features are written as.")
        arrays: dict[str, npt.NDArray[Any]] = {"features": self.features, "labels": self.labels}
        if self.ids is not None:
            arrays["ids"] = self.ids
        if self.class_names is not None:
            arrays["class_names"] = np.array(self.class_names)
        if self.head is not None:
            arrays |= {"head_weight": self.head.weight, "head_bias": self.head.bias}
            arrays |= {f"head_{name}": value for name, value in self.head._extra().items()}
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Features:
        """Read an ``.npz`` with ``features`` (n × d or views × n × d) and ``labels`` (n).

        Of a folder that :class:`FeatureFolder` wrote the features stay on disk and are read where
        they are needed, so they may be larger than memory.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not such a file, or without those arrays.
            InputError: the arrays do not fit each other, or are not finite.
        """
        if Path(path).is_dir():
            from everyclass.artifacts.stored_features import StoredFeatures

            return StoredFeatures(path)
        arrays = read_npz(path, "features file")
        for name in ("features", "labels"):
            if name not in arrays:
                raise FileFormatError(
                    f"{path} has no array {name!r}; a features file needs features (n × d or "
                    f"views × n × d) and labels (n), and this has {', '.join(arrays) or 'nothing'}."
                )
        with naming(path):
            of_head = {
                name.removeprefix("head_"): array
                for name, array in arrays.items()
                if name.startswith("head_")
            }
            head = Head._stored(of_head, of_head) if "weight" in of_head else None
            names = stored_names(arrays.get("class_names"))
            return cls(arrays["features"], arrays["labels"], head, names, arrays.get("ids"))
