"""The lists and the pictures of published sets, looked for where data are looked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from everyclass.data.part_counts import PartCounts
from everyclass.data.pictures.files import Listed, read_list
from everyclass.data.published.facts import PublishedSet, check_list
from everyclass.errors import DataNotFoundError

__all__ = ["find_pictures", "find_published", "missing_lists", "read_published"]


def find_published(published: PublishedSet, part: str, roots: Sequence[Path]) -> Path | None:
    """The list of a part: in a root, or in its folder ``lists`` or one named like the set.

    Args:
        published: which set.
        part: "train", "val" or "test".
        roots: folders to look in, in order.
    """
    name = published.lists[part]
    for root in roots:
        for folder in (root / "lists", root / published.name, root):
            for path in (folder / name, folder / f"{name}.xz"):
                if path.is_file():
                    return path
    return None


def missing_lists(published: PublishedSet, counts: Iterable[PartCounts]) -> dict[str, str]:
    """The lists of a set that are not at hand: the file's name by part.

    Args:
        published: which set.
        counts: of the lists that are, see :func:`everyclass.data.count_published`.
    """
    there = {each.part for each in counts}
    return {part: file for part, file in published.lists.items() if part not in there}


def read_published(
    published: PublishedSet,
    roots: Sequence[Path],
    *,
    parts: Sequence[str] | None = None,
    named: Mapping[str, str] | None = None,
) -> dict[str, Listed]:
    """Read and check the lists of a set.

    Args:
        published: which set.
        roots: folders to look in, in order.
        parts: which lists; default all that the set has.
        named: paths of lists, instead of looking for them.

    Raises:
        DataNotFoundError: a list is in none of the places tried.
        FileFormatError: a list does not fit what is published about it.
    """
    found: dict[str, Listed] = {}
    for part in published.lists if parts is None else parts:
        given = (named or {}).get(part)
        path = Path(given) if given else find_published(published, part, roots)
        if path is None:
            name = published.lists[part]
            tried = "\n".join(f"  {root / 'lists' / name} (or .xz)" for root in roots)
            raise DataNotFoundError(
                f"{published.title}'s {part} list was not found ({published.totals[part]:,} lines "
                f"'path label'). Put {name} into one of these places, or name it with "
                f"{published.name},{part}=FILE (--data):\n{tried}"
            )
        found[part] = read_list(path)
        check_list(published, part, found[part], str(path))
    return found


def find_pictures(published: PublishedSet, roots: Sequence[Path], first: str) -> Path:
    """The folder that the paths of the lists are relative to.

    Args:
        published: which set.
        roots: folders to look in, in order.
        first: a path from a list, which must be there.

    Raises:
        DataNotFoundError: the picture is in none of the places tried.
    """
    places = [root / folder for root in roots for folder in (*published.folders, ".")]
    for place in places:
        if os.path.isfile(place / first):
            return place
    tried = "\n".join(f"  {root / published.folders[0] / first}" for root in roots)
    raise DataNotFoundError(
        f"The pictures of {published.title} were not found: {published.pictures}. They belong "
        "where this one would be, or into a folder that is named by "
        f"{published.name},root=FOLDER (--data):\n{tried}"
    )
