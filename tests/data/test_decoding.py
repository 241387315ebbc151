"""Pictures of every kind become squares of RGB, and what is no picture is said to be none."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from claimed_sizes import png_that_claims
from PIL import Image

from everyclass.data.pictures.decoding import BadPictureError, Cut, decode

SMALL = Cut(size=16, share=1.0)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def corners(width: int = 32, height: int = 32) -> Image.Image:
    """Red in the upper left quarter, green right of it, blue below, white in the last."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    h, w = height // 2, width // 2
    pixels[:h, :w, 0] = pixels[:h, w:, 1] = pixels[h:, :w, 2] = 255
    pixels[h:, w:] = 255
    return Image.fromarray(pixels)


def seen(content: bytes) -> list[list[int]]:
    """The colour in the middle of each quarter, in reading order."""
    (view,) = decode(content, SMALL)
    return [view[y, x].tolist() for y in (3, 12) for x in (3, 12)]


RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "PPM"])
def test_exact_kinds(kind: str) -> None:
    assert seen(encoded(corners(), kind)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_other_colour_models(mode: str) -> None:
    content = encoded(corners().convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    np.testing.assert_allclose(seen(content), [RED, GREEN, BLUE, WHITE], atol=2)


def test_jpeg_cmyk_and_palettes_with_transparency() -> None:
    np.testing.assert_allclose(
        seen(encoded(corners().convert("CMYK"), "JPEG", quality=95)),
        [RED, GREEN, BLUE, WHITE],
        atol=30,
    )
    palette = corners().quantize(4)
    assert decode(encoded(palette, transparency=b"\x00\x80\xff\xff"), SMALL).shape == (1, 16, 16, 3)


def test_sixteen_bits_keep_their_upper_eight() -> None:
    grey = np.full((20, 20), 0x8000, dtype=np.uint16)
    grey[:10] = 0xFFFF
    (view,) = decode(encoded(Image.fromarray(grey)), SMALL)
    assert view[2, 2].tolist() == [255, 255, 255]
    assert view[13, 13].tolist() == [128, 128, 128]


def test_greys_of_32_bits_that_are_eight_stay_as_they_are() -> None:
    grey = np.full((20, 20), 200, dtype=np.int32)
    grey[:10] = 20
    (view,) = decode(encoded(Image.fromarray(grey), "TIFF"), SMALL)
    assert (view[2, 2, 0], view[13, 13, 0]) == (20, 200)
    grey[0, 0] = 0x8000
    (view,) = decode(encoded(Image.fromarray(grey), "TIFF"), SMALL)
    assert view[13, 13].tolist() == [0, 0, 0]


def test_a_dark_picture_of_sixteen_bits_is_dark() -> None:
    grey = np.full((20, 20), 200, dtype=np.uint16)
    image = Image.fromarray(grey)
    pgm = b"P5 20 20 65535\n" + grey.astype(">u2").tobytes()  # which is opened as if of 32 bits
    for content in (encoded(image), encoded(image, "TIFF"), pgm):
        assert decode(content, SMALL).max() == 0


def test_one_pixel_and_one_line() -> None:
    assert (
        decode(encoded(Image.new("L", (1, 1), 7)), SMALL)[0].tolist()
        == np.full((16, 16, 3), 7).tolist()
    )
    assert decode(encoded(Image.new("RGB", (2000, 1))), Cut(size=8)).shape == (1, 8, 8, 3)


@pytest.mark.parametrize(
    ("orientation", "wanted"),
    [
        (1, [RED, GREEN, BLUE, WHITE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (8, [GREEN, WHITE, RED, BLUE]),
    ],
)
@pytest.mark.parametrize("size", [(32, 32), (256, 256)])  # the larger one is decoded at a fraction
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_turned_pictures(
    orientation: int, wanted: list[Any], size: tuple[int, int], kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    content = encoded(corners(*size), kind, exif=exif, **options)
    np.testing.assert_allclose(seen(content), wanted, atol=30)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_turned_picture_is_cut_as_the_upright_one(kind: str, orientation: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = encoded(Image.fromarray(pixels), kind, exif=exif)
    upright = pixels if orientation < 5 else pixels.swapaxes(0, 1)
    upright = upright[::-1] if orientation in (3, 4, 7, 8) else upright
    upright = upright[:, ::-1] if orientation in (2, 3, 6, 7) else upright
    views, wanted = (
        decode(content, SMALL, [None, (np.random.default_rng(1), (0.1, 0.3))])
        for content in (turned, encoded(Image.fromarray(upright)))
    )
    assert np.array_equal(views, wanted)


def test_the_plain_view_is_the_centre() -> None:
    image = Image.fromarray(np.repeat(np.arange(100, dtype=np.uint8)[None], 50, axis=0))
    (view,) = decode(encoded(image), Cut(size=25, share=0.5))
    # A square of 25 in the middle of 100 × 50, at its own size.
    assert view[0, :, 0].tolist() == list(range(38, 63)) or view[0, 0, 0] in (37, 38)
    np.testing.assert_allclose(view[0, :, 0], np.arange(37.5, 62.5), atol=1)


def test_resizing_is_pillows_and_reducing_hardly_differs() -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((640, 640))
    content = encoded(smooth, "JPEG", quality=95)
    with Image.open(io.BytesIO(content)) as opened:
        exact = np.asarray(opened.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    found = decode(content, Cut(size=32, share=1.0))[0].astype(int)
    assert np.abs(found - exact).mean() < 1.5


def test_random_crops_follow_their_generator_and_stay_inside() -> None:
    content = encoded(corners(90, 60))
    scale = (0.08, 1.0)
    views = [
        decode(content, SMALL, [(np.random.default_rng(seed), scale), None]) for seed in (1, 1, 2)
    ]
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0][0], views[2][0])
    assert np.array_equal(views[0][1], views[2][1])
    whole = [decode(content, SMALL, [(np.random.default_rng(s), (1.0, 1.0))]) for s in range(20)]
    assert all(v.shape == (1, 16, 16, 3) for v in whole)


def test_a_small_crop_is_as_sharp_beside_the_whole_picture_as_alone() -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (512, 512, 3), dtype=np.uint8))
    content = encoded(noise, "JPEG", quality=90)
    small = (0.01, 0.02)
    alone = decode(content, SMALL, [(np.random.default_rng(3), small)])
    beside = decode(content, SMALL, [None, (np.random.default_rng(3), small)])
    assert np.array_equal(alone[0], beside[1])


def test_shares_of_random_crops_are_as_asked() -> None:
    from everyclass.data.pictures.decoding import _random_box

    rng = np.random.default_rng(0)
    boxes = np.array([_random_box(300, 200, rng, (0.2, 0.6)) for _ in range(500)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    share, shape = width * height / 60_000, width / height
    assert 0.19 < share.min() < 0.25
    assert 0.55 < share.max() < 0.61
    assert 0.74 < shape.min() < shape.max() < 1.35
    assert boxes.min() >= 0
    assert (boxes[:, 2:].max(axis=0) <= (300, 200)).all()


JPEG = encoded(corners(200, 200), "JPEG")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no picture of a known kind"),
        (b"not a picture at all", "no picture of a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a known kind"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (encoded(corners())[:-30], "."),
        (png_that_claims(10_000, 10_000), "10,000 × 10,000 pixels are too many"),
        (png_that_claims(60_000, 60_000), "too many pixels"),
        (encoded(Image.fromarray(np.ones((9, 9), dtype=np.float32)), "TIFF"), "fractions"),
        (encoded(Image.fromarray(np.full((9, 9), 1 << 20, dtype=np.int32)), "TIFF"), "32 bits"),
    ],
    ids=["empty", "text", "eps", "half a jpeg", "cut png", "bomb", "larger bomb", "float", "int32"],
)
def test_what_is_no_picture(content: bytes, reason: str) -> None:
    with pytest.raises(BadPictureError, match=reason):
        decode(content, SMALL)


def test_random_bytes_never_do_more_than_be_refused() -> None:
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(JPEG), 60):
        damaged = bytearray(JPEG)
        damaged[position : position + 4] = rng.bytes(4)
        with contextlib.suppress(BadPictureError):  # and no other error
            assert decode(bytes(damaged), SMALL).shape == (1, 16, 16, 3)
