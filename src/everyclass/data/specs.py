"""What ``--data`` says of pictures in files: ``KIND:WHERE,key=value,…``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from everyclass.errors import InputError

__all__ = ["KEYS", "KINDS", "Spec", "parse_spec"]

KINDS = {
    "list": "lists of lines 'path label'",
    "table": ".csv or .parquet files with a column of paths and one of classes",
    "folder": "a folder with a folder per class, perhaps below train, val and test",
    "hf": "a Hugging Face data set: parquet files with images inside, or what save_to_disk wrote",
    "shards": "WebDataset shards: tar files of pictures and .cls",
}
KEYS = {
    "train": "another training list",
    "val": "validation images",
    "test": "test images",
    "root": "the folder that paths are relative to",
    "size": "pixels of the square that pictures become (224)",
    "names": "a file of class names",
    "image": "the column of paths or pictures",
    "label": "the column of classes",
}


@dataclass(frozen=True)
class Spec:
    """Where pictures are.

    Attributes:
        kind: one of ``KINDS``, or the name of a published set.
        where: what stands behind the colon; empty for a published set.
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
        if not (text.isascii() and text.isdecimal() and 8 <= int(text) <= 4096):
            raise InputError(f"size={text} must be a number of pixels from 8 to 4096.")
        return int(text)


def parse_spec(text: str) -> Spec:
    """Take a specification apart.

    A comma begins a new key only where ``word=`` follows, so that paths may have commas.

    Raises:
        InputError: an unknown kind or key, a key given twice, or nothing behind the colon.

    Example:
        >>> spec = parse_spec("list:lists/train.txt,test=lists/test.txt,root=/data,size=64")
        >>> spec.kind, spec.where, spec.options["root"], spec.slug
        ('list', 'lists/train.txt', '/data', 'list-train')
    """
    head, *rest = re.split(r",(?=[a-z_]+=)", text)
    kind, colon, where = head.partition(":")
    if colon and kind not in KINDS:
        known = "; ".join(f"{name}: ({what})" for name, what in KINDS.items())
        raise InputError(f"{text!r} begins with {kind!r}; data in files are {known}.")
    if colon and not where:
        raise InputError(f"{text!r} does not say where; after the colon comes {KINDS[kind]}.")
    options: dict[str, str] = {}
    for item in rest:
        key, _, value = item.partition("=")
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{text!r}: there is no key {key!r}; there are {', '.join(KEYS)}.{hint}"
            )
        if key in options or not value:
            raise InputError(f"{text!r}: give {key}= once, with a value.")
        options[key] = value
    return Spec(kind, where, options)
