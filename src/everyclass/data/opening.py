"""Pictures in files as a data set: what a specification names, opened and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import load_class_names
from everyclass.data.image_set import Dataset
from everyclass.data.pictures import (
    Cut,
    EncodedSet,
    Listed,
    find_parquet,
    find_shards,
    list_folder,
    read_list,
    read_parquet,
    read_saved,
    read_shards,
    read_table,
)
from everyclass.data.pictures.encoded import Encoded
from everyclass.data.places import search_roots
from everyclass.data.published import PUBLISHED, find_pictures, read_published
from everyclass.data.published.facts import IMAGENET_MEAN, IMAGENET_STD
from everyclass.data.specs import Spec
from everyclass.errors import FileFormatError, InputError, MissingFileError

__all__ = ["open_pictures"]

# What each part may be called in a folder or a Hugging Face set; the first that is there counts.
PARTS = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
_Part = tuple[Encoded, npt.NDArray[Any], "tuple[str, ...] | None"]


def open_pictures(
    spec: Spec, *, val: str = "none", bad_images: str = "fail", root: str | Path | None = None
) -> Dataset:
    """Open what a specification names; no picture is read.

    Args:
        spec: see :func:`everyclass.data.parse_spec`.
        val: "none", or "rest" for the validation images that the set comes with.
        bad_images: "fail" or "skip", kept for whoever reads the pictures.
        root: folder to look for published sets in, before ``EVERYCLASS_DATA`` and the cache.

    Returns:
        The data set; its test part is empty where none is named.

    Raises:
        MissingFileError: a list, a folder or a shard is not there.
        DataNotFoundError: lists or pictures of a published set are in none of the places tried.
        FileFormatError: a file is not what it should be, or not the published one.
        InputError: parts that do not fit each other.
    """
    size = spec.size or Cut.size
    if spec.kind in PUBLISHED:
        parts, names = _published(spec, search_roots(root))
    else:
        parts, names = _named(spec)
    if "names" in spec.options:
        names = load_class_names(spec.options["names"])
    sets = {part: EncodedSet(s, y, np.arange(len(y))) for part, (s, y, _) in parts.items()}
    names = _checked_names(spec, sets, names)
    _no_picture_twice(sets)
    if val == "rest" and "val" not in sets:
        raise InputError(
            f"{spec.slug} has no validation images for val='rest' (--val rest); name some: val=…."
        )
    facts = PUBLISHED.get(spec.kind)
    train = sets["train"]
    return Dataset(
        name=spec.slug,
        train=train,
        test=sets.get("test") or train.take(np.arange(0)),
        val=sets["val"] if val == "rest" else None,
        class_names=names,
        mean=facts.mean if facts else IMAGENET_MEAN,
        std=facts.std if facts else IMAGENET_STD,
        crop_padding=None,
        flip=True,
        cut=Cut(size=size),
        bad_images=bad_images,
    )


def _published(spec: Spec, roots: list[Path]) -> tuple[dict[str, _Part], tuple[str, ...] | None]:
    facts = PUBLISHED[spec.kind]
    lists = read_published(facts, roots, named=spec.options)
    given = spec.options.get("root")
    first = str(lists["train"].paths[0])
    folder = find_pictures(facts, [Path(given)] if given else roots, first)
    return {
        part: (listed.files(folder), listed.labels, None) for part, listed in lists.items()
    }, facts.class_names


def _named(spec: Spec) -> tuple[dict[str, _Part], tuple[str, ...] | None]:
    places = {"train": spec.where}
    places |= {part: spec.options[part] for part in ("val", "test") if part in spec.options}
    if "train" in spec.options:
        raise InputError(
            f"{spec.kind}: names the training images behind the colon; leave out train=."
        )
    if spec.kind in ("folder", "hf"):
        parts = _inside(spec, Path(spec.where), _OPEN[spec.kind])
        for part, place in places.items():
            if part != "train":
                name = _called(spec.kind, Path(place), PARTS["train"])
                parts[part] = _OPEN[spec.kind](Path(place), name or "", spec.options)
    else:
        root = Path(spec.options["root"]) if "root" in spec.options else None
        parts = {
            part: _OPEN[spec.kind](place, root, spec.options) for part, place in places.items()
        }
    names = next((n for _, _, n in parts.values() if n is not None), None)
    return _numbered(spec, parts, names)


def _inside(spec: Spec, folder: Path, opened: Callable[..., _Part]) -> dict[str, _Part]:
    """The parts below a folder, or the folder itself as the training images."""
    if not folder.is_dir():
        raise MissingFileError(f"There is no folder {folder}.")
    there = {part: _called(spec.kind, folder, names) for part, names in PARTS.items()}
    if there["train"] is None:
        return {"train": opened(folder, "", spec.options)}
    return {
        part: opened(folder, name, spec.options) for part, name in there.items() if name is not None
    }


def _called(kind: str, folder: Path, names: Sequence[str]) -> str | None:
    """The first of the names that a part of the folder has."""
    for name in names:
        if (folder / name).is_dir() or (kind == "hf" and find_parquet(folder, name)):
            return name
    return None


def _open_list(place: str, root: Path | None, options: Mapping[str, str]) -> _Part:
    return _files(read_list(place), root or Path(place).parent)


def _open_table(place: str, root: Path | None, options: Mapping[str, str]) -> _Part:
    listed = read_table(place, options.get("image", "path"), options.get("label", "label"))
    return _files(listed, root or Path(place).parent)


def _open_shards(place: str, root: Path | None, options: Mapping[str, str]) -> _Part:
    source, labels = read_shards(find_shards(place, root))
    return source, labels, None


def _open_folder(folder: Path, part: str, options: Mapping[str, str]) -> _Part:
    return _files(list_folder(folder / part), folder / part)


def _open_hugging_face(folder: Path, part: str, options: Mapping[str, str]) -> _Part:
    columns = {"image": options.get("image"), "label": options.get("label")}
    paths = find_parquet(folder, part or "train") or tuple(sorted(folder.glob("*.parquet")))
    return read_parquet(paths, **columns) if paths else read_saved(folder, part, **columns)


_OPEN: dict[str, Callable[..., _Part]] = {
    "list": _open_list,
    "table": _open_table,
    "shards": _open_shards,
    "folder": _open_folder,
    "hf": _open_hugging_face,
}


def _files(listed: Listed, root: Path) -> _Part:
    return listed.files(root), listed.labels, listed.names


def _numbered(
    spec: Spec, parts: dict[str, _Part], names: tuple[str, ...] | None
) -> tuple[dict[str, _Part], tuple[str, ...] | None]:
    """Class names as numbers: in the order of the training images' sorted names."""
    textual = [part for part, (_, labels, _) in parts.items() if labels.dtype.kind not in "iu"]
    if textual:
        if len(textual) != len(parts):
            raise InputError(
                f"{spec.slug}: the {textual[0]} images have class names and others class numbers; "
                "use one of both in all parts."
            )
        names = tuple(sorted(set(parts["train"][1].tolist())))
    numbered: dict[str, _Part] = {}
    for part, (source, labels, own) in parts.items():
        called = labels
        if not textual and own is not None and own != names:  # other classes, or another order
            called = np.array(own)[labels]
        if called.dtype.kind not in "iu":
            called = _numbers(called, names or (), f"{spec.slug}: the {part} images")
        numbered[part] = (source, called, names)
    return numbered, names


def _numbers(labels: npt.NDArray[Any], names: tuple[str, ...], what: str) -> npt.NDArray[np.int64]:
    number = {name: c for c, name in enumerate(names)}
    unknown = sorted(set(labels.tolist()) - number.keys())
    if unknown:
        raise FileFormatError(
            f"{what} have the class {unknown[0]!r}, which no training image has "
            f"({len(unknown)} such classes)."
        )
    return np.array([number[label] for label in labels.tolist()], dtype=np.int64)


def _checked_names(
    spec: Spec, sets: Mapping[str, EncodedSet], names: tuple[str, ...] | None
) -> tuple[str, ...]:
    known = PUBLISHED[spec.kind].num_classes if spec.kind in PUBLISHED else 0
    classes = max(known, *(int(images.labels.max()) + 1 for images in sets.values()))
    if names is None:
        return tuple(str(c) for c in range(classes))
    if len(names) < classes:
        raise InputError(f"{spec.slug} has class {classes - 1} and only {len(names)} class names.")
    return names


def _no_picture_twice(sets: Mapping[str, EncodedSet]) -> None:
    """Refuse a picture that is judged by, and trained on or chosen by."""
    places = {part: set(images.places) for part, images in sets.items()}
    for one, other, why in (
        ("train", "val", "what is judged must not be trained on"),
        ("train", "test", "what is judged must not be trained on"),
        ("val", "test", "what chooses must not be what judges in the end; leave one of them out"),
    ):
        both = places.get(one, set()) & places.get(other, set())
        if both:
            what = "training" if one == "train" else "validation"
            raise InputError(
                f"{len(both):,} pictures are in the {what} images and in the {other} images, such "
                f"as {min(both)}; {why}."
            )
