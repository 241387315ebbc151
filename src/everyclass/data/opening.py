"""Pictures in files as a data set: what a specification names, opened and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from everyclass.data.image_set import Dataset
from everyclass.data.numbering import Part, check_trained, checked_names, numbered
from everyclass.data.pictures import (
    Cut,
    EncodedSet,
    Listed,
    class_folders,
    find_parquet,
    find_shards,
    list_folder,
    read_list,
    read_parquet,
    read_saved,
    read_shards,
    read_table,
)
from everyclass.data.places import search_roots
from everyclass.data.published import PUBLISHED, find_pictures, read_published
from everyclass.data.published.facts import IMAGENET_MEAN, IMAGENET_STD
from everyclass.data.specs import Spec
from everyclass.errors import InputError, MissingFileError

__all__ = ["open_pictures"]

# What each part may be called in a folder or a Hugging Face set; the first that is there counts.
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid"),
    "test": ("test", "testing"),
}
# How a word begins in the names of other files and folders that are not there to be trained on.
JUDGED = ("val", "test", "dev")


def open_pictures(
    spec: Spec, *, val: str = "none", bad_images: str = "fail", root: str | Path | None = None
) -> Dataset:
    """Open what a specification names; no picture is read.

    Args:
        spec: see :func:`everyclass.data.parse_spec`.
        val: "none", "rest" for the validation images that the set comes with, or "any" for those
            if there are some.
        bad_images: "fail" or "skip", kept for whoever reads the pictures.
        root: folder to look for published sets in, before ``EVERYCLASS_DATA`` and the cache.

    Returns:
        The data set; its test part is empty where none is named.

    Raises:
        MissingFileError: a list, a folder, a shard or ``root`` is not there, or a folder has
            validation or test images and no training images.
        DataNotFoundError: lists or pictures of a published set are in none of the places tried.
        FileFormatError: a file is not what it should be, or not the published one.
        InputError: parts that do not fit each other, or class names that do not fit the classes.
    """
    size = spec.size or Cut.size
    roots = search_roots(root)
    if spec.kind in PUBLISHED:
        parts, names = _published(spec, roots)
    else:
        parts, names = _named(spec)
    sets = {part: EncodedSet(s, y, np.arange(len(y))) for part, (s, y, _) in parts.items()}
    names = checked_names(spec, sets, names)
    check_trained(spec, sets, names)
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
        val=None if val == "none" else sets.get("val"),
        class_names=names,
        mean=facts.mean if facts else IMAGENET_MEAN,
        std=facts.std if facts else IMAGENET_STD,
        crop_padding=None,
        flip=True,
        cut=Cut(size=size),
        bad_images=bad_images,
    )


def _published(spec: Spec, roots: list[Path]) -> tuple[dict[str, Part], tuple[str, ...] | None]:
    facts = PUBLISHED[spec.kind]
    lists = read_published(facts, roots, named=spec.options)
    given = spec.options.get("root")
    first = str(lists["train"].paths[0])
    folder = find_pictures(facts, [Path(given)] if given else roots, first)
    return {
        part: (listed.files(folder), listed.labels, None) for part, listed in lists.items()
    }, facts.class_names


def _named(spec: Spec) -> tuple[dict[str, Part], tuple[str, ...] | None]:
    places = {"train": spec.where}
    places |= {part: spec.options[part] for part in ("val", "test") if part in spec.options}
    if spec.kind in ("folder", "hf"):
        parts = _inside(spec, Path(spec.where), _OPEN[spec.kind])
        for part, place in places.items():
            if part != "train":
                name = _parts_in(spec.kind, Path(place)).get("train", "")
                parts[part] = _OPEN[spec.kind](Path(place), name, spec.options)
    else:
        root = Path(spec.options["root"]) if "root" in spec.options else None
        parts = {
            part: _OPEN[spec.kind](place, root, spec.options) for part, place in places.items()
        }
    return numbered(spec, parts)


def _inside(spec: Spec, folder: Path, opened: Callable[..., Part]) -> dict[str, Part]:
    """The parts below a folder, or the folder itself as the training images."""
    there = _parts_in(spec.kind, folder)
    if "train" not in there:
        _check_nothing_judged(spec.kind, folder, there)
        return {"train": opened(folder, "", spec.options)}
    return {part: opened(folder, name, spec.options) for part, name in there.items()}


def _parts_in(kind: str, folder: Path) -> dict[str, str]:
    """What each part that is in the folder is called there."""
    folders = class_folders(folder)
    called = {part: _called(kind, folder, folders, names) for part, names in PARTS.items()}
    there = {part: name for part, name in called.items() if name is not None}
    if kind == "folder" and len(there) == 1 and len(folders) > 1:
        (name,) = there.values()
        if not class_folders(folder / name):  # pictures right in it: a class of that name
            return {}
    return there


def _called(kind: str, folder: Path, folders: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of the names that a part of the folder has, as it is spelt there."""
    for name in names:
        found = [each for each in folders if each.lower() == name]
        if len(found) > 1:
            raise InputError(
                f"{folder} has {' and '.join(found)}, which are both the {name} images by their "
                "names; rename one of them."
            )
        if found:
            return found[0]
        if kind == "hf" and find_parquet(folder, name):
            return name
    return None


def _check_nothing_judged(kind: str, folder: Path, there: Mapping[str, str]) -> None:
    """Refuse to train on a folder whose validation or test images would be among the others."""
    judged = [*there.values()] or (_judged_files if kind == "hf" else _judged_folders)(folder)
    if judged:
        train = "files train-*.parquet" if kind == "hf" else "images' folder train"
        raise MissingFileError(
            f"{folder} has {' and '.join(judged[:2])} and no train, and what is judged must not be "
            f"trained on; call the training {train}."
        )


def _judged_files(folder: Path) -> list[str]:
    """Parquet files that are called as if they were not there to be trained on."""
    return sorted(path.name for path in folder.glob("*.parquet") if _begins(path.stem, *JUDGED))


def _judged_folders(folder: Path) -> list[str]:
    """``test_set`` beside ``training_set``, where there are no folders but such."""
    folders = class_folders(folder)
    judged = [each for each in folders if _begins(each, *JUDGED)]
    only_parts = all(_begins(each, "train", *JUDGED) for each in folders)
    return judged if only_parts and len(judged) < len(folders) else []


def _begins(name: str, *beginnings: str) -> bool:
    """Whether a word in the name begins so."""
    return any(word.startswith(beginnings) for word in re.split("[^a-z]+", name.lower()))


def _open_list(place: str, root: Path | None, options: Mapping[str, str]) -> Part:
    return _files(read_list(place), root or Path(place).parent)


def _open_table(place: str, root: Path | None, options: Mapping[str, str]) -> Part:
    listed = read_table(place, options.get("image", "path"), options.get("label", "label"))
    return _files(listed, root or Path(place).parent)


def _open_shards(place: str, root: Path | None, options: Mapping[str, str]) -> Part:
    source, labels = read_shards(find_shards(place, root))
    return source, labels, None


def _open_folder(folder: Path, part: str, options: Mapping[str, str]) -> Part:
    return _files(list_folder(folder / part), folder / part)


def _open_hugging_face(folder: Path, part: str, options: Mapping[str, str]) -> Part:
    columns = {"image": options.get("image"), "label": options.get("label")}
    paths = find_parquet(folder, part or "train") or tuple(sorted(folder.glob("*.parquet")))
    return read_parquet(paths, **columns) if paths else read_saved(folder, part, **columns)


_OPEN: dict[str, Callable[..., Part]] = {
    "list": _open_list,
    "table": _open_table,
    "shards": _open_shards,
    "folder": _open_folder,
    "hf": _open_hugging_face,
}


def _files(listed: Listed, root: Path) -> Part:
    return listed.files(root), listed.labels, listed.names


def _no_picture_twice(sets: Mapping[str, EncodedSet]) -> None:
    """Refuse a picture that is judged by, and trained on or chosen by."""
    for one, other, why in (
        ("train", "val", "what is judged must not be trained on"),
        ("train", "test", "what is judged must not be trained on"),
        ("val", "test", "what chooses must not be what judges in the end; leave one of them out"),
    ):
        if one not in sets or other not in sets:
            continue
        few, many = sorted((sets[one], sets[other]), key=len)
        known = set(few.places)
        both = {place for place in many.places if place in known}
        if both:
            what = "training" if one == "train" else "validation"
            pictures = "picture is" if len(both) == 1 else "pictures are"
            raise InputError(
                f"{len(both):,} {pictures} in the {what} images and in the {other} images, such as "
                f"{min(both)}; {why}."
            )
