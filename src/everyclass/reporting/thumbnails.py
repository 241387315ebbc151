"""Small pictures of single images, to stand inside a page."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from everyclass.artifacts import quoted
from everyclass.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "Example",
    "Pictures",
    "pictures_of",
    "pictures_of_array",
    "pictures_of_folder",
    "thumbnail",
]

SIZE = 72  # pixels of the longer side
_SMALL = 48  # what is smaller is enlarged without smoothing
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # no reader here runs another program
_MOST_BYTES = 1 << 26
_MOST_PIXELS = 1 << 26

# Rows of the predictions → an image each: a picture, an array (h, w) or (h, w, 3), or None.
Pictures = Callable[[Sequence[int]], Sequence[Any]]


@dataclass(frozen=True)
class Example:
    """An image that is given to a wrong class.

    Attributes:
        row: its place in the predictions.
        predicted: the class it is given to.
        probability: of that class, or None without scores.
        id: what it is called, or None.
        thumbnail: a ``data:`` address, "" where the image cannot be read, None without images.
    """

    row: int
    predicted: int
    probability: float | None = None
    id: str | None = None
    thumbnail: str | None = None


def pictures_of(images: Any, ids: Any, numbered_by: Any = None) -> Pictures | None:
    """Images in whatever form a caller has them: an array, a folder, a function, or None.

    A folder knows images by their ids. An array or a function knows them by their rows, which may
    stand in another order than those that are asked for; then ids lead from one to the other.

    Args:
        images: the images.
        ids: (n,) of the rows that are asked for, or None.
        numbered_by: (m,) ids of the rows that an array or a function knows, or None; without
            either ids, both are the same rows. What has none of these ids has no picture.

    Raises:
        InputError: none of these, or a folder without ids.
    """
    if images is None:
        return None
    if isinstance(images, str | Path):
        return pictures_of_folder(images, ids)
    pictures: Pictures = images if callable(images) else pictures_of_array(images)
    if ids is None or numbered_by is None:
        return pictures
    return _renumbered(pictures, np.asarray(ids, str), np.asarray(numbered_by, str))


def _renumbered(pictures: Pictures, ids: Any, numbered_by: Any) -> Pictures:
    if np.array_equal(ids, numbered_by):
        return pictures
    place = {name: row for row, name in enumerate(numbered_by.tolist())}

    def renumbered(rows: Sequence[int]) -> list[Any]:
        there = [place.get(str(ids[row])) for row in rows]
        known = [row for row in there if row is not None]
        found: dict[int | None, Any] = dict(zip(known, pictures(known), strict=True))
        return [found.get(row) for row in there]

    return renumbered


def pictures_of_array(images: Any) -> Pictures:
    """Images as (n, h, w), (n, h, w, 1 or 3) or (n, 3, h, w) uint8, by row.

    Raises:
        InputError: another shape.
    """
    array = images if hasattr(images, "shape") else np.asarray(images)
    if len(array.shape) not in (3, 4):
        raise InputError(
            "images must be (n, height, width) or (n, height, width, channels); got shape "
            f"{tuple(array.shape)}."
        )

    def pictures(rows: Sequence[int]) -> list[Any]:
        return [np.asarray(array[row]) if row < len(array) else None for row in rows]

    return pictures


def pictures_of_folder(folder: str | Path, ids: Any) -> Pictures:
    """Files of a folder, whose ids are their names relative to it.

    Nothing outside the folder is opened: neither by ``..``, nor by an absolute name, nor by a link.

    Args:
        folder: with the images.
        ids: (n,) of the predictions.

    Raises:
        InputError: no such folder, no ids, or (when they are looked at) an id that leads outside.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder} is no folder of images.")
    if ids is None:
        raise InputError(
            f"The predictions have no ids, so images cannot be found in {folder}; ids must be the "
            "files' names relative to that folder."
        )
    root = root.resolve()

    def pictures(rows: Sequence[int]) -> list[Any]:
        return [_opened(root, str(ids[row])) for row in rows]

    return pictures


def _opened(root: Path, name: str) -> Image.Image | None:
    try:
        path = (root / name).resolve()
        inside = path.is_relative_to(root)
    except (OSError, ValueError, RuntimeError):  # a null character, a loop of links
        return None
    if not inside:
        raise InputError(
            f"The id {quoted(name)} leads outside the folder of images; ids must be names of files "
            "in it."
        )
    from PIL import Image

    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata and of large images
            opened = Image.open(path, formats=_FORMATS)
            if opened.width * opened.height > _MOST_PIXELS:
                return None
            opened.draft("RGB", (SIZE, SIZE))  # a JPEG is decoded at the size that is needed
            opened.load()
        return opened
    except Exception:  # whatever a reader makes of a broken file
        return None


def thumbnail(image: Any) -> str:
    """A PNG of at most 72 pixels a side as a ``data:`` address; "" where there is no image.

    Args:
        image: a PIL image, an array (h, w), (h, w, 1 or 3) or (3, h, w), or None.
    """
    from PIL import Image

    if image is None:
        return ""
    try:
        # Of 16 bits, or of numbers, convert would cut all above 255 off.
        plain = isinstance(image, Image.Image) and not image.mode.startswith(("I", "F"))
        picture = image if plain else _of_array(np.asarray(image))
        picture = picture.convert("RGB")
        if max(picture.size) < _SMALL:
            scale = SIZE // max(picture.size)
            size = (picture.width * scale, picture.height * scale)
            picture = picture.resize(size, Image.Resampling.NEAREST)
        picture.thumbnail((SIZE, SIZE))
        # A new image has no metadata, such as a place or a name, to carry along.
        bare = Image.new("RGB", picture.size)
        bare.paste(picture)
        stream = io.BytesIO()
        bare.save(stream, format="PNG", optimize=True)
    except Exception:  # a truncated file shows itself only here
        return ""
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _of_array(array: Any) -> Image.Image:
    from PIL import Image

    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        array = ((array - low) / ((high - low) or 1) * 255).astype(np.uint8)
    return Image.fromarray(array)
