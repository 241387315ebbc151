"""CIFAR-10 and CIFAR-100 from whatever form of them is at hand, and their long-tailed versions.

The published split (LDAM-DRW, Cao et al. 2019) seeds NumPy's legacy generator with 0, shuffles each
class's rows in class order, and keeps the first N_c of each. As the shuffles do not depend on the
ratio, the split of every ratio is, class by class, a prefix of the split of any smaller ratio.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import as_labels, as_names, read_npz, stored_names
from everyclass.data._pickles import load_plain_pickle
from everyclass.data.image_set import Dataset, ImageSet
from everyclass.data.pictures import described_names
from everyclass.data.places import search_roots
from everyclass.data.profiles import Profile, long_tailed_counts
from everyclass.errors import DataNotFoundError, FileFormatError, InputError, InputTypeError

__all__ = ["CIFAR10", "CIFAR100", "CIFARFacts", "load_cifar_lt"]

# Used by all published long-tailed code for CIFAR-10 and CIFAR-100 alike.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
HELD_OUT_RATIO = 10.0


@dataclass(frozen=True)
class CIFARFacts:
    """What tells CIFAR-10 and CIFAR-100 apart on disk."""

    name: str
    num_classes: int
    largest: int
    batches: tuple[str, ...]
    test_batch: str
    folder: str
    label_key: str
    names_file: str
    names_key: str
    archive: str
    sha256: str

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the original form."""
        return (*self.batches, self.test_batch, self.names_file)


CIFAR10 = CIFARFacts(
    name="cifar10",
    num_classes=10,
    largest=5000,
    batches=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test_batch="test_batch",
    folder="cifar-10-batches-py",
    label_key="labels",
    names_file="batches.meta",
    names_key="label_names",
    archive="cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)
CIFAR100 = CIFARFacts(
    name="cifar100",
    num_classes=100,
    largest=500,
    batches=("train",),
    test_batch="test",
    folder="cifar-100-python",
    label_key="fine_labels",
    names_file="meta",
    names_key="fine_label_names",
    archive="cifar-100-python.tar.gz",
    sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)


@dataclass(frozen=True, eq=False)
class _Source:
    """The training images at hand, each with its place in its class's published shuffle."""

    train: ImageSet
    order: npt.NDArray[np.int64]
    test: ImageSet
    class_names: tuple[str, ...]


def load_cifar_lt(
    facts: CIFARFacts,
    *,
    imbalance_ratio: float = 100.0,
    profile: Profile = "exp",
    val: str = "none",
    root: str | Path | None = None,
) -> Dataset:
    """Read CIFAR and cut the published long-tailed split out of it.

    Args:
        facts: ``CIFAR10`` or ``CIFAR100``.
        imbalance_ratio: largest over smallest class.
        profile: "exp" or "step".
        val: "none", or "rest": the images of the ratio-10 split that this split leaves out, an
            honest held-out set (of CIFAR-100 at ratio 100: none of class 0, 11 to 125 of others).
        root: folder to look in before ``EVERYCLASS_DATA`` and the cache.

    Raises:
        DataNotFoundError: no form of the data is in any of the places tried.
        MissingFileError: ``root`` is not there.
        InputError: the file at hand is a part of CIFAR that this split goes beyond.
        FileFormatError: a file is there and is not what it should be.
    """
    source = _read(facts, search_roots(root))
    counts = long_tailed_counts(facts.largest, facts.num_classes, imbalance_ratio, profile)
    rows = _rows_of(source, counts, facts, f"{profile} split of ratio {imbalance_ratio:g}")
    held_out = None
    if val == "rest":
        wide = long_tailed_counts(facts.largest, facts.num_classes, HELD_OUT_RATIO, "exp")
        rest = np.setdiff1d(_rows_of(source, wide, facts, "ratio-10 split"), rows)
        if len(rest) == 0:
            raise InputError(
                f"The split of ratio {imbalance_ratio:g} ({profile}) leaves nothing of the "
                "ratio-10 split for val='rest' (--val rest); use a larger ratio, or val='none'."
            )
        held_out = source.train.take(rest)
    return Dataset(
        name=f"{facts.name}-lt",
        train=source.train.take(rows),
        test=source.test,
        val=held_out,
        class_names=source.class_names,
        mean=MEAN,
        std=STD,
        crop_padding=4,
        flip=True,
    )


def _rows_of(
    source: _Source, counts: npt.NDArray[np.int64], facts: CIFARFacts, what: str
) -> npt.NDArray[np.intp]:
    """Rows whose place in the class is below the class's count, class by class in shuffle order."""
    labels = source.train.labels
    wanted = np.flatnonzero(source.order < counts[labels])
    missing = counts - np.bincount(labels[wanted], minlength=facts.num_classes)
    if (missing > 0).any():
        worst = int(np.argmax(missing))
        raise InputError(
            f"The {what} needs {counts[worst]} images of class {worst} "
            f"({source.class_names[worst]!r}) and the file at hand holds "
            f"{counts[worst] - missing[worst]}: it is a part of {facts.name}. "
            f"Get the whole set with: everyclass data get {facts.name}, and name its folder with "
            "data_root (--data-root), or use a larger ratio."
        )
    return wanted[np.lexsort((source.order[wanted], labels[wanted]))]


def published_order(labels: npt.NDArray[np.int64], num_classes: int) -> npt.NDArray[np.int64]:
    """Each training image's place in the published class-wise shuffle.

    Args:
        labels: (50000,) int64, of the whole training set in its original order.
        num_classes: C.
    """
    generator = np.random.RandomState(0)
    order = np.empty(len(labels), dtype=np.int64)
    for c in range(num_classes):
        rows = np.flatnonzero(labels == c)
        generator.shuffle(rows)
        order[rows] = np.arange(len(rows))
    return order


def _read(facts: CIFARFacts, roots: Sequence[Path]) -> _Source:
    for root in roots:
        for folder in (root / facts.name, root):
            parquet = sorted(folder.glob("train-*.parquet"))
            if parquet and (folder.name == facts.name or _is_ours(parquet[0], facts)):
                return _read_parquet(facts, folder)
        if (root / facts.folder / facts.names_file).is_file():
            return _read_pickles(facts, root / facts.folder)
        for npz in (root / f"{facts.name}.npz", root / facts.name / f"{facts.name}.npz"):
            if npz.is_file():
                return _read_npz(facts, npz)
    tried = "\n".join(
        f"  {root}: {facts.name}/train-*.parquet, {facts.folder}/, {facts.name}.npz"
        for root in roots
    )
    raise DataNotFoundError(
        f"{facts.name} was not found. Get it with\n  everyclass data get {facts.name}\n"
        "or name the folder that has it: data_root (--data-root), or EVERYCLASS_DATA. "
        f"Tried:\n{tried}"
    )


@contextlib.contextmanager
def _inside(path: Path) -> Iterator[None]:
    """Say of which file it is that something in it cannot be used."""
    try:
        yield
    except (InputError, InputTypeError) as error:
        raise FileFormatError(f"{path}: {error}") from error


def _names_or_numbers(names: Sequence[str] | None, facts: CIFARFacts) -> tuple[str, ...]:
    return as_names(names, facts.num_classes) or tuple(str(c) for c in range(facts.num_classes))


def _is_ours(path: Path, facts: CIFARFacts) -> bool:
    import pyarrow.parquet as pq

    try:
        columns = set(pq.read_schema(path).names)
    except Exception as error:
        raise FileFormatError(f"{path} is not a readable parquet file: {error}.") from error
    return ("fine_label" in columns) == (facts.label_key == "fine_labels")


def _read_parquet(facts: CIFARFacts, folder: Path) -> _Source:
    train, train_columns = _decode_parquet(facts, sorted(folder.glob("train-*.parquet")))
    tests = sorted(folder.glob("test-*.parquet"))
    if not tests:
        raise FileFormatError(f"{folder} has train-*.parquet and no test-*.parquet.")
    test, _ = _decode_parquet(facts, tests)
    if "order" in train_columns:
        order = train_columns["order"]
    else:
        order = _order_of_all(facts, train, f"{folder} has no column 'order' and")
    return _Source(train, order, test, train_columns["names"])


def _order_of_all(facts: CIFARFacts, train: ImageSet, what: str) -> npt.NDArray[np.int64]:
    """The published order of a whole training set, whose rows may stand in any order."""
    full = facts.largest * facts.num_classes
    if not np.array_equal(np.sort(train.index), np.arange(full)):
        raise FileFormatError(
            f"{what} holds {len(train):,} images where the whole training set has {full:,}; each "
            "image's place in the published shuffle is known of the whole set only. Get it with: "
            f"everyclass data get {facts.name}"
        )
    labels = np.empty(full, dtype=np.int64)
    labels[train.index] = train.labels
    return published_order(labels, facts.num_classes)[train.index]


def _decode_parquet(facts: CIFARFacts, paths: list[Path]) -> tuple[ImageSet, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.concat_tables([pq.read_table(path) for path in paths])
    except Exception as error:
        raise FileFormatError(f"{paths[0]} is not a readable parquet file: {error}.") from error
    columns = table.column_names
    image = next((c for c in ("img", "image") if c in columns), None)
    label = next((c for c in ("fine_label", "label") if c in columns), None)
    if image is None or label is None:
        raise FileFormatError(
            f"{paths[0]} needs an image column (img or image) and a label column "
            f"(fine_label or label); it has {', '.join(columns)}."
        )
    with _inside(paths[0]):
        labels = as_labels(table[label].to_numpy(), num_classes=facts.num_classes, name=label)
        index = np.arange(len(labels))
        if "index" in columns:
            index = as_labels(table["index"].to_numpy(), name="index")
        names = described_names(table.schema.metadata, label)
        extra: dict[str, Any] = {"names": _names_or_numbers(names, facts)}
        if "order" in columns:
            extra["order"] = as_labels(table["order"].to_numpy(), name="order")
    images = np.empty((len(labels), 32, 32, 3), dtype=np.uint8)
    for row, cell in enumerate(table[image].to_pylist()):
        try:
            images[row] = _decode(cell["bytes"])
        except Exception as error:  # decoders of many formats raise of many types
            raise FileFormatError(
                f"{paths[0]}: the image in row {row} cannot be decoded to 32 × 32 RGB ({error})."
            ) from error
    return ImageSet(images, labels, index), extra


def _decode(encoded: bytes) -> npt.NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        if image.size != (32, 32):
            raise ValueError(f"it has {image.size[0]} × {image.size[1]} pixels")
        return np.asarray(image.convert("RGB"))


def _read_pickles(facts: CIFARFacts, folder: Path) -> _Source:
    train = _join_batches(facts, [folder / name for name in facts.batches])
    test = _join_batches(facts, [folder / facts.test_batch])
    order = _order_of_all(facts, train, str(folder))
    names = load_plain_pickle(folder / facts.names_file).get(facts.names_key)
    if not isinstance(names, list):
        raise FileFormatError(f"{folder / facts.names_file} has no list {facts.names_key!r}.")
    with _inside(folder / facts.names_file):
        return _Source(train, order, test, _names_or_numbers(stored_names(np.array(names)), facts))


def _join_batches(facts: CIFARFacts, paths: list[Path]) -> ImageSet:
    images, labels = [], []
    for path in paths:
        batch = load_plain_pickle(path)
        data = batch.get("data")
        if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3072:
            raise FileFormatError(f"{path} is not a CIFAR batch: it needs 'data' of 3,072 columns.")
        if facts.label_key not in batch:
            raise FileFormatError(f"{path} is not a {facts.name} batch: no {facts.label_key!r}.")
        with _inside(path):
            labels.append(
                as_labels(
                    batch[facts.label_key],
                    num_classes=facts.num_classes,
                    length=len(data),
                    name=facts.label_key,
                )
            )
        images.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    joined = np.concatenate(labels)
    return ImageSet(
        np.ascontiguousarray(np.concatenate(images)),
        joined,
        np.arange(len(joined), dtype=np.int64),
    )


def _read_npz(facts: CIFARFacts, path: Path) -> _Source:
    arrays = read_npz(path)
    parts = []
    for part in ("train", "test"):
        images, labels = arrays.get(f"{part}_images"), arrays.get(f"{part}_labels")
        if images is None or labels is None:
            raise FileFormatError(
                f"{path} needs train_images, train_labels, test_images, test_labels; "
                f"it has {', '.join(arrays)}."
            )
        if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3):
            raise FileFormatError(
                f"{path}: {part}_images must be uint8 of shape (n, 32, 32, 3); "
                f"got {images.dtype} of shape {images.shape}."
            )
        with _inside(path):
            labels = as_labels(
                labels, num_classes=facts.num_classes, length=len(images), name=f"{part}_labels"
            )
        parts.append(ImageSet(images, labels, np.arange(len(labels))))
    order = _order_of_all(facts, parts[0], str(path))
    with _inside(path):
        names = _names_or_numbers(stored_names(arrays.get("class_names")), facts)
    return _Source(parts[0], order, parts[1], names)
