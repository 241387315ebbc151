"""Every operation on a batch against Pillow, image by image: not one level of difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from everyclass.data.augmentation import operations as ops

AFFINE = Image.Transform.AFFINE
NEAREST, BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
SIZES = [(32, 32), (8, 8), (17, 24), (3, 3), (2, 5), (1, 1)]


def images_of_every_kind(count: int, height: int, width: int, seed: int) -> np.ndarray:
    """Noise, constant, two-valued, grey, dark, one-coloured, ramps and smooth images by turns."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        match i % 9:
            case 1:
                image[:] = generator.integers(0, 256, 3)
            case 2:
                image[:] = (image > 128) * 255
            case 3:
                image[:] = image[..., :1]
            case 4:
                image[:] = image // 16 + generator.integers(0, 240)
            case 5:
                image[..., 1:] = 0
            case 6:
                image[:] = (np.arange(width) * 255 // max(width - 1, 1))[None, :, None]
            case 7 | 8:
                coarse = Image.fromarray(image).resize((3, 3))
                image[:] = np.asarray(coarse.resize((width, height), BICUBIC))
    return images


def shear(matrix: Callable[[float], tuple[float, ...]], resample: int, fill: int) -> Any:
    def by_pillow(image: Image.Image, x: float) -> Image.Image:
        return image.transform(image.size, AFFINE, matrix(x), resample, fillcolor=(fill,) * 3)

    return by_pillow


def turned_hue(image: Image.Image, turns: float) -> Image.Image:
    """torchvision's adjust_hue on a Pillow image."""
    h, s, v = image.convert("HSV").split()
    shifted = np.asarray(h) + np.array(int(turns * 255) % 256, dtype=np.uint8)
    return Image.merge("HSV", (Image.fromarray(shifted), s, v)).convert("RGB")


# name: ours, Pillow's, range of magnitudes (whole numbers where the bounds are int)
CASES: dict[str, tuple[Any, Any, tuple[float, float]]] = {
    "rotate": (ops.rotate, lambda i, x: i.rotate(x), (-400.0, 400.0)),
    "rotate on grey": (
        lambda i, x: ops.rotate(i, x, 128),
        lambda i, x: i.rotate(x, fillcolor=(128,) * 3),
        (-30.0, 30.0),
    ),
    "rotate by right angles": (
        lambda i, x: ops.rotate(i, 90 * x),
        lambda i, x: i.rotate(90 * x),
        (-5, 5),
    ),
    "shear_x": (ops.shear_x, shear(lambda x: (1, x, 0, 0, 1, 0), NEAREST, 0), (-2.0, 2.0)),
    "shear_y": (ops.shear_y, shear(lambda x: (1, 0, 0, x, 1, 0), NEAREST, 0), (-2.0, 2.0)),
    "translate_x": (ops.translate_x, shear(lambda x: (1, 0, x, 0, 1, 0), NEAREST, 0), (-9.0, 9.0)),
    "translate_y": (
        lambda i, x: ops.translate_y(i, x, 128),
        shear(lambda x: (1, 0, 0, 0, 1, x), NEAREST, 128),
        (-40.0, 40.0),
    ),
    "smooth_shear_x": (
        lambda i, x: ops.smooth_shear_x(i, x, 128),
        shear(lambda x: (1, x, 0, 0, 1, 0), BICUBIC, 128),
        (-2.0, 2.0),
    ),
    "smooth_shear_y": (
        lambda i, x: ops.smooth_shear_y(i, x, 128),
        shear(lambda x: (1, 0, 0, x, 1, 0), BICUBIC, 128),
        (-2.0, 2.0),
    ),
    "invert": (lambda i, _: ops.invert(i), lambda i, _: ImageOps.invert(i), (0, 0)),
    "posterize": (ops.posterize, lambda i, x: ImageOps.posterize(i, int(x)), (1, 8)),
    "solarize": (ops.solarize, ImageOps.solarize, (0.0, 256.0)),
    "solarize at whole numbers": (ops.solarize, ImageOps.solarize, (0, 256)),
    "autocontrast": (
        lambda i, _: ops.autocontrast(i),
        lambda i, _: ImageOps.autocontrast(i),
        (0, 0),
    ),
    "equalize": (lambda i, _: ops.equalize(i), lambda i, _: ImageOps.equalize(i), (0, 0)),
    "grayscale": (
        lambda i, _: ops.grayscale(i),
        lambda i, _: i.convert("L").convert("RGB"),
        (0, 0),
    ),
    "brightness": (
        ops.brightness,
        lambda i, x: ImageEnhance.Brightness(i).enhance(x),
        (-1.0, 4.0),
    ),
    "contrast": (ops.contrast, lambda i, x: ImageEnhance.Contrast(i).enhance(x), (-1.0, 4.0)),
    "saturation": (ops.saturation, lambda i, x: ImageEnhance.Color(i).enhance(x), (-1.0, 4.0)),
    "sharpness": (ops.sharpness, lambda i, x: ImageEnhance.Sharpness(i).enhance(x), (-1.0, 4.0)),
    "shift_hue": (ops.shift_hue, turned_hue, (-0.5, 0.5)),
    "gaussian_blur": (
        ops.gaussian_blur,
        lambda i, x: i.filter(ImageFilter.GaussianBlur(x)),
        (0.0, 12.0),
    ),
}


def agree(name: str, images: np.ndarray, magnitudes: list[float]) -> None:
    ours, by_pillow, _ = CASES[name]
    before = images.copy()
    got = ours(torch.from_numpy(images), torch.tensor(magnitudes, dtype=torch.float64))
    wanted = [
        np.asarray(by_pillow(Image.fromarray(image), magnitude))
        for image, magnitude in zip(images, magnitudes, strict=True)
    ]
    assert got.dtype == torch.uint8
    assert got.is_contiguous()
    np.testing.assert_array_equal(got.numpy(), np.stack(wanted))
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_an_operation_is_pillows(name: str, data: st.DataObject) -> None:
    low, high = CASES[name][2]
    height, width = data.draw(st.sampled_from(SIZES))
    one = st.integers(low, high) if isinstance(low, int) else st.floats(low, high)
    magnitudes = data.draw(st.lists(one.map(float), min_size=1, max_size=12))
    seed = data.draw(st.integers(0, 2**32 - 1))
    agree(name, images_of_every_kind(len(magnitudes), height, width, seed), magnitudes)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8)])
def test_a_large_batch_of_magnitudes_and_the_extreme_ones(
    name: str, height: int, width: int
) -> None:
    low, high = CASES[name][2]
    generator = np.random.default_rng(1)
    magnitudes = generator.uniform(low, high, 128)
    if isinstance(low, int):
        magnitudes = np.round(magnitudes)
    # Where each operation changes nothing, or Pillow takes a short cut.
    special = [x for x in (0.0, 1.0, 0.5, low, high) if low <= x <= high]
    magnitudes[: len(special)] = special
    agree(name, images_of_every_kind(128, height, width, seed=2), magnitudes.tolist())


def test_every_hue_is_pillows() -> None:
    """All differences of green and blue from red, once each way round the circle."""
    green, blue = np.meshgrid(np.arange(-255, 256, 3), np.arange(-255, 256, 3), indexing="ij")
    colours = np.stack([np.zeros_like(green), green, blue], axis=2)
    colours -= colours.min(axis=2, keepdims=True)
    image = colours.clip(max=255).astype(np.uint8)
    agree("shift_hue", np.stack([image] * 3), [0.0, 0.3, -0.21])


@given(
    size=st.sampled_from(SIZES),
    shares=st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_resized_crop_is_pillows_crop_and_resize(
    size: tuple[int, int], shares: list[tuple[float, ...]], seed: int
) -> None:
    height, width = size
    images = images_of_every_kind(len(shares), height, width, seed)
    boxes = []
    for a, b, c, d in shares:
        tall, wide = 1 + int(a * (height - 1)), 1 + int(b * (width - 1))
        boxes.append((int(c * (height - tall)), int(d * (width - wide)), tall, wide))
    got = ops.resized_crop(torch.from_numpy(images), *torch.tensor(boxes).T)
    wanted = [
        np.asarray(
            Image.fromarray(image)
            .crop((left, top, left + wide, top + tall))
            .resize((width, height), Image.Resampling.BILINEAR)
        )
        for image, (top, left, tall, wide) in zip(images, boxes, strict=True)
    ]
    np.testing.assert_array_equal(got.numpy(), np.stack(wanted))
