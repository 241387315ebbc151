"""One picture, from encoded bytes of unknown origin to a small square of RGB pixels."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from everyclass.errors import first_line

__all__ = ["SHAPES", "BadPictureError", "Crop", "Cut", "decode"]

# Never EPS and the like, for which Pillow starts other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MOST_PIXELS = 89_478_485  # what Pillow warns of by default: a quarter of a gigabyte as RGB
REDUCING_GAP = 2.0
ATTEMPTS = 10
SHAPES = (3 / 4, 4 / 3)


class BadPictureError(Exception):
    """These bytes give no picture; the message says why, in a few words."""


Box = tuple[float, float, float, float]
Crop = tuple[np.random.Generator, tuple[float, float]]


@dataclass(frozen=True)
class Cut:
    """What becomes of pictures of many sizes.

    Attributes:
        size: pixels of the square's side.
        share: of the shorter side, that the plain view's centred square has: 0.875 is "resize to
            256, crop 224".
        resample: how pixels are interpolated.
    """

    size: int = 224
    share: float = 0.875
    resample: Literal["bilinear", "bicubic"] = "bilinear"


def decode(
    encoded: bytes, cut: Cut, crops: Sequence[Crop | None] = (None,)
) -> npt.NDArray[np.uint8]:
    """Views of a picture: the plain, centred one, or random resized crops.

    The picture is turned as its EXIF entry says. Palettes, greys, CMYK and transparency become
    RGB. Greys of 16 bits keep their upper eight, those of a TIFF of 32 bits too, unless none of
    the picture's is above 255: then they are taken as they are.

    Args:
        encoded: the content of an image file; its name does not matter.
        cut: the square to make.
        crops: one for each view: None for the plain one, or a generator and the range of the
            crop's share of the area.

    Returns:
        (v, size, size, 3) uint8.

    Raises:
        BadPictureError: no picture, one cut short, one of no known kind, or one too large to open.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()  # loads what FORMATS names, once
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; sizes are checked here
            with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise BadPictureError(f"{width:,} × {height:,} pixels are too many to open")
                if image.format == "TIFF":  # whose size Pillow gives turned, and its tag still
                    ImageOps.exif_transpose(image, in_place=True)
                boxes = _boxes(image, cut, crops)
                smallest = min(min(b[2] - b[0], b[3] - b[1]) for b in boxes)
                upright, boxes = _upright(image, boxes, cut.size / smallest)
                resample = Image.Resampling[cut.resample.upper()]
                views = [
                    np.asarray(upright.resize((cut.size, cut.size), resample, box=box))
                    for box in boxes
                ]
    except BadPictureError:
        raise
    except Image.DecompressionBombError as error:
        raise BadPictureError("it claims too many pixels to open") from error
    except UnidentifiedImageError as error:
        raise BadPictureError("no picture of a known kind") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders of many formats raise of many types
        raise BadPictureError(first_line(error)) from error
    return np.stack(views)


def _boxes(image: Any, cut: Cut, crops: Sequence[Crop | None]) -> list[Box]:
    """What to cut out, as (left, top, right, bottom) of the upright picture."""
    width, height = image.size
    if _orientation(image) >= 5:  # lying on its side
        width, height = height, width
    side = cut.share * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    centred = (left, top, left + side, top + side)
    return [centred if crop is None else _random_box(width, height, *crop) for crop in crops]


def _orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged metadata are no reason to refuse a picture
        return 1


def _random_box(
    width: int, height: int, generator: np.random.Generator, scale: tuple[float, float]
) -> Box:
    """As torchvision's RandomResizedCrop: ten tries, then the largest box of a fitting shape."""
    area = width * height * generator.uniform(*scale, ATTEMPTS)
    ratio = np.exp(generator.uniform(math.log(SHAPES[0]), math.log(SHAPES[1]), ATTEMPTS))
    wide, tall = np.round(np.sqrt(area * ratio)), np.round(np.sqrt(area / ratio))
    fits = np.flatnonzero((wide > 0) & (wide <= width) & (tall > 0) & (tall <= height))
    if len(fits):
        w, h = int(wide[fits[0]]), int(tall[fits[0]])
        left = int(generator.integers(0, width - w + 1))
        top = int(generator.integers(0, height - h + 1))
    else:
        shape = min(max(width / height, SHAPES[0]), SHAPES[1])
        w = min(width, round(height * shape))
        h = min(height, round(width / shape))
        left, top = (width - w) // 2, (height - h) // 2
    return float(left), float(top), float(left + w), float(top + h)


def _upright(image: Any, boxes: list[Box], scale: float) -> tuple[Any, list[Box]]:
    """The picture turned upright and in RGB, and the boxes in its pixels.

    A JPEG that is much larger than the square is decoded at a half, a quarter or an eighth, never
    below twice the pixels that are needed.
    """
    from PIL import ImageOps

    width, height = image.size
    shrink = scale * REDUCING_GAP
    if image.format in ("JPEG", "MPO") and shrink <= 0.5:
        image.draft(None, (math.ceil(width * shrink), math.ceil(height * shrink)))
    wider, higher = image.size[0] / width, image.size[1] / height
    if _orientation(image) >= 5:
        wider, higher = higher, wider
    # A PGM of 16 bits has the same mode, and is dark if all of it is below 256.
    of_32_bits = image.format == "TIFF" and image.mode == "I"
    upright = _rgb(ImageOps.exif_transpose(image), of_32_bits)
    w, h = upright.size
    return upright, [
        (left * wider, top * higher, min(right * wider, w), min(bottom * higher, h))
        for left, top, right, bottom in boxes
    ]


def _rgb(image: Any, of_32_bits: bool) -> Any:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, or 32 that a file of 16 was read into
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise BadPictureError("pixels of 32 bits")
        if not (of_32_bits and values.max() <= 0xFF):
            values >>= 8
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise BadPictureError("pixels that are fractions")
    if image.mode == "P":
        image = image.convert("RGBA")  # a palette may have transparent entries
    return image.convert("RGB")
