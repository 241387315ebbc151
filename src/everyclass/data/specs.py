"""What ``--data`` says of pictures in files: ``KIND:WHERE,key=value,…``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from everyclass.artifacts import did_you_mean, printable
from everyclass.data.long_tailed import DATASETS
from everyclass.data.published import PUBLISHED
from everyclass.errors import InputError

__all__ = ["KEYS", "KINDS", "Kind", "Spec", "parse_spec"]

KEYS = {
    "train": "another training list",
    "val": "validation images",
    "test": "test images",
    "root": "the folder that paths are relative to",
    "size": "pixels of the square that pictures become (224)",
    "names": (
        "a file of class names, in the order of class numbers; where pictures bring names along, "
        "the same ones in the order to number them by, or as many others to call them by"
    ),
    "image": "the column of paths or pictures",
    "label": "the column of classes",
}


@dataclass(frozen=True)
class Kind:
    """A form that pictures in files have.

    Attributes:
        what: what stands behind the colon.
        keys: those of ``KEYS`` that it takes.
    """

    what: str
    keys: tuple[str, ...]


KINDS = {
    "list": Kind("lists of lines 'path label'", ("val", "test", "root", "size", "names")),
    "table": Kind(
        ".csv or .parquet files with a column of paths and one of classes",
        ("val", "test", "root", "size", "names", "image", "label"),
    ),
    "folder": Kind(
        "a folder with a folder per class, perhaps below train, val and test",
        ("val", "test", "size", "names"),
    ),
    "hf": Kind(
        "a Hugging Face data set: parquet files with images inside, or what save_to_disk wrote",
        ("val", "test", "size", "names", "image", "label"),
    ),
    "shards": Kind(
        "WebDataset shards: tar files of pictures and .cls",
        ("val", "test", "root", "size", "names"),
    ),
}


@dataclass(frozen=True)
class Spec:
    """Where pictures are.

    Attributes:
        kind: one of ``KINDS``, or the name of a set.
        where: what stands behind the colon; empty for a set that has a name.
        options: values of ``KEYS``.
    """

    kind: str
    where: str
    options: Mapping[str, str]

    @property
    def slug(self) -> str:
        """A name for folders, such as ``list-train``."""
        if not self.where:
            return self.kind
        stem = Path(self.where.rstrip("/")).name.split(".")[0]
        return f"{self.kind}-{re.sub(r'[^A-Za-z0-9_-]+', '-', stem).strip('-') or 'data'}"

    @property
    def size(self) -> int | None:
        """The square's side, if it is said.

        Raises:
            InputError: no whole number from 8 to 4096.
        """
        if "size" not in self.options:
            return None
        text = self.options["size"]
        if not (re.fullmatch("[0-9]{1,4}", text) and 8 <= int(text) <= 4096):
            raise InputError(
                f"size={printable(text, 20)} must be a number of pixels from 8 to 4096."
            )
        return int(text)

    @property
    def files(self) -> list[Path]:
        """The files and folders that it names, each as it is spelt."""
        named = [
            self.options[key] for key in ("train", "val", "test", "names") if key in self.options
        ]
        return [Path(each) for each in (self.where, *named) if each]


def parse_spec(text: str) -> Spec:
    """Take a specification apart.

    A comma begins a new key only where ``word=`` follows, so that paths may have commas.

    Raises:
        InputError: an unknown kind, set or key, a key that this kind has no use for, a key given
            twice, or nothing behind the colon.

    Example:
        >>> spec = parse_spec("list:lists/train.txt,test=lists/test.txt,root=/data,size=64")
        >>> spec.kind, spec.where, spec.options["root"], spec.slug
        ('list', 'lists/train.txt', '/data', 'list-train')
    """
    head, *rest = re.split(r",(?=[a-z_]+=)", text)
    kind, colon, where = head.partition(":")
    if colon and kind not in KINDS:
        known = "; ".join(f"{name}: ({form.what})" for name, form in KINDS.items())
        raise InputError(f"{text!r} begins with {kind!r}; data in files are {known}.")
    if not colon and kind not in (*DATASETS, *PUBLISHED):
        named = sorted((*DATASETS, *PUBLISHED))
        raise InputError(
            f"There is no data set {text!r}; there are {', '.join(named)}, and pictures in files "
            f"as {', '.join(f'{form}:…' for form in KINDS)}"
            f"{did_you_mean(kind.replace('_', '-'), named)}"
        )
    if colon and not where:
        raise InputError(f"{text!r} does not say where; after the colon comes {KINDS[kind].what}.")
    options: dict[str, str] = {}
    for item in rest:
        key, _, value = item.partition("=")
        takes = _keys_of(kind)
        if not takes:
            raise InputError(
                f"{kind} takes no keys such as {key}=; a folder to look in is named by data_root "
                "(--data-root)."
            )
        if key not in KEYS:
            hint = did_you_mean(key, KEYS)
            raise InputError(
                f"{text!r}: there is no key {key!r}; there are {', '.join(KEYS)}{hint}"
            )
        if key not in takes:
            own = " The training images stand behind the colon." if key == "train" else ""
            raise InputError(
                f"{text!r}: {kind}{colon} takes no {key}=; it takes {', '.join(takes)}.{own}"
            )
        if key in options or not value:
            raise InputError(f"{text!r}: give {key}= once, with a value.")
        options[key] = value
    return Spec(kind, where, options)


def _keys_of(kind: str) -> tuple[str, ...]:
    """The keys that a form or a published set takes; those that are made here take none."""
    if kind in PUBLISHED:  # whose lists say everything else
        return ("root", "size", *PUBLISHED[kind].lists)
    return KINDS[kind].keys if kind in KINDS else ()
