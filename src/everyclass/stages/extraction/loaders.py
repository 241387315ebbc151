"""Loaders and data sets: what of theirs yields batches, and which classes they know."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

from everyclass.errors import InputError

__all__ = [
    "BATCH_SIZE",
    "LABEL_KEYS",
    "batches_of",
    "check_known_classes",
    "known_class_names",
    "num_batches",
]

LABEL_KEYS = ("labels", "label", "targets", "target", "y")
BATCH_SIZE = 64


def batches_of(loader: Iterable[Any]) -> Iterable[Any]:
    """Batches of a loader; a data set whose items can be counted is put into a loader first.

    Args:
        loader: yields batches, or is a torch ``Dataset`` or a Hugging Face ``Dataset``.

    Raises:
        InputError: several splits at once.
    """
    if isinstance(loader, Mapping) and any(hasattr(d, "column_names") for d in loader.values()):
        raise InputError(
            f"The loader is a {type(loader).__name__} of several splits; pass one of them: "
            f"data[{next(iter(loader))!r}]."
        )
    whole = isinstance(loader, Dataset) and not isinstance(loader, IterableDataset)
    if whole or (hasattr(loader, "column_names") and hasattr(loader, "__getitem__")):
        if not whole and getattr(loader, "format", {}).get("type") is None:
            loader = loader.with_format("torch")  # type: ignore[attr-defined]
        return _loaded(loader)
    return loader


def num_batches(loader: Iterable[Any]) -> int | None:
    """How many batches :func:`batches_of` gives, or None where the loader does not say.

    Args:
        loader: as there.
    """
    try:
        length = len(loader)  # type: ignore[arg-type]
    except TypeError:  # of a loader over a stream, too
        return None
    items = isinstance(loader, Dataset) or hasattr(loader, "column_names")
    return math.ceil(length / BATCH_SIZE) if items else length


def _loaded(dataset: Any) -> Iterable[Any]:
    try:
        yield from DataLoader(dataset, batch_size=BATCH_SIZE)
    except (TypeError, RuntimeError) as error:
        message = str(error)
        if "default_collate" in message:
            kind = message.rpartition("found ")[2]
            raise InputError(
                f"The items of the data set hold {kind}, which is no tensor; give the data set a "
                "transform that makes tensors."
            ) from error
        if "equal size" in message or "resize" in message:
            raise InputError(
                "The items of the data set have different sizes; pass a DataLoader whose "
                "collate_fn pads them, or resize the images."
            ) from error
        raise


def known_class_names(loader: Any) -> tuple[str, ...] | None:
    """The class names that a loader's data set knows, such as ImageFolder's ``classes``.

    They are as the data set has them: one may stand twice.

    Args:
        loader: a loader or a data set.
    """
    dataset = getattr(loader, "dataset", loader)
    names = getattr(dataset, "classes", None)
    if names is None:
        features = getattr(dataset, "features", None)
        columns = [c for c in LABEL_KEYS if isinstance(features, Mapping) and c in features]
        names = getattr(features[columns[0]], "names", None) if columns else None  # type: ignore[index]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def check_known_classes(names: Sequence[str], num_classes: int) -> None:
    """Refuse a data set that knows another number of classes than the network.

    Args:
        names: what :func:`known_class_names` gives.
        num_classes: C, the outputs of the network.

    Raises:
        InputError: there are more names than outputs, or fewer.
    """
    if len(names) != num_classes:
        raise InputError(
            f"The data set knows {len(names)} classes and the network {num_classes}, so its labels "
            "may be numbered differently; number them as the network's outputs are, or pass "
            "class_names=[…] in the order of those if they are."
        )
