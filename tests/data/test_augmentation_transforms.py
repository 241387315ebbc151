"""Random transforms against Pillow on the same draws, and the laws of what they draw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter
from scipy import stats

from everyclass.data.augmentation import (
    ColorJitter,
    Cutout,
    GaussianBlur,
    Grayscale,
    RandomResizedCrop,
    Rotation,
)
from everyclass.errors import InputError


def smooth_images(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    size = (width, height)
    return np.stack(
        [np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BICUBIC)) for x in coarse]
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(count, generator=generator, dtype=torch.float64)


def equal(transform: Any, images: np.ndarray, seed: int, wanted: list[Any]) -> None:
    got = transform(torch.from_numpy(images), seeded(seed))
    np.testing.assert_array_equal(got.numpy(), np.stack([np.asarray(view) for view in wanted]))


# --- rotation -------------------------------------------------------------------------------------


def test_rotation_is_pillows_on_the_same_angles() -> None:
    images = smooth_images(100)
    angles = -15 + 30 * unit(100, seeded(3))
    views = [Image.fromarray(x).rotate(a) for x, a in zip(images, angles.tolist(), strict=True)]
    equal(Rotation(15), images, 3, views)


def test_rotation_by_nothing_changes_nothing() -> None:
    images = smooth_images(5)
    equal(Rotation(0), images, 0, list(images))


@pytest.mark.parametrize("degrees", [-1, 181, float("nan")])
def test_impossible_angles_are_refused(degrees: float) -> None:
    with pytest.raises(InputError, match=rf"^degrees must be from 0 to 180; got {degrees}\.$"):
        Rotation(degrees)


# --- cutout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "size", "half"),
    [(32, 32, None, 8), (32, 32, 16, 8), (8, 8, None, 2), (10, 12, 5, 2), (20, 9, 0, 0)],
)
def test_the_hole_is_black_centred_anywhere_and_cut_at_the_border(
    height: int, width: int, size: int | None, half: int
) -> None:
    white = torch.full((20 * height * width, height, width, 3), 255, dtype=torch.uint8)
    views = Cutout(size)(white, seeded(0))
    generator = seeded(0)
    y = torch.randint(0, height, (len(white), 1), generator=generator)
    x = torch.randint(0, width, (len(white), 1), generator=generator)
    for view, cy, cx in zip(views[:200], y[:, 0].tolist(), x[:, 0].tolist(), strict=False):
        wanted = torch.full((height, width, 3), 255, dtype=torch.uint8)
        wanted[max(0, cy - half) : cy + half, max(0, cx - half) : cx + half] = 0
        assert torch.equal(view, wanted)
    if half:
        # The whole hole is black as often as its centre is far enough from the border.
        whole = (views[..., 0] == 0).sum((1, 2)) == (2 * half) ** 2
        share = (height - 2 * half + 1) * (width - 2 * half + 1) / (height * width)
        assert whole.double().mean() == pytest.approx(share, abs=0.03)


def test_what_is_not_in_the_hole_stays() -> None:
    images = torch.from_numpy(smooth_images(50)).clamp(min=1)
    views = Cutout()(images, seeded(0))
    assert torch.equal(views[views > 0], images[views > 0])
    assert 0.1 < (views == 0).double().mean() < 0.25


def test_a_negative_hole_is_refused() -> None:
    with pytest.raises(InputError, match=r"^size must be 0 or more; got -2\.$"):
        Cutout(-2)


# --- random resized crop --------------------------------------------------------------------------


def test_a_resized_crop_is_pillows_on_the_same_box() -> None:
    images = smooth_images(200)
    crop = RandomResizedCrop()
    views = []
    boxes = torch.stack(crop.draw(200, 32, 32, seeded(6)), dim=1).tolist()
    for image, (top, left, height, width) in zip(images, boxes, strict=True):
        view = Image.fromarray(image).crop((left, top, left + width, top + height))
        views.append(view.resize((32, 32), Image.Resampling.BILINEAR))
    equal(crop, images, 6, views)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8), (20, 30), (10, 100)])
def test_boxes_lie_within_the_image_and_in_the_ranges(height: int, width: int) -> None:
    top, left, tall, wide = RandomResizedCrop().draw(5000, height, width, seeded(0))
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (tall >= 1).all()
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()
    # Sides are rounded to whole pixels, so bounds hold for sides half a pixel longer or shorter.
    assert ((wide + 0.5) / (tall - 0.5) >= 3 / 4).all()
    assert ((wide - 0.5) / (tall + 0.5) <= 4 / 3).all()
    fallback = (tall == height) & (wide == min(width, round(height * 4 / 3)))
    assert ((wide + 0.5) * (tall + 0.5) >= 0.2 * height * width)[~fallback].all()


def test_boxes_follow_the_law_of_rejection() -> None:
    """Against the plain loop: draw until the box fits, then a uniform place."""
    generator = np.random.default_rng(0)
    wanted = []
    while len(wanted) < 20_000:
        area = generator.uniform(0.2, 1) * 32 * 32
        ratio = math.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if wide <= 32 and tall <= 32:
            top, left = generator.integers(0, 33 - tall), generator.integers(0, 33 - wide)
            wanted.append((top, left, tall, wide))
    drawn = RandomResizedCrop().draw(20_000, 32, 32, seeded(0))
    for got, by_loop in zip(drawn, np.array(wanted).T, strict=True):
        assert stats.ks_2samp(got.numpy(), by_loop).pvalue > 0.001


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [(10, 100, (0, 43, 10, 13)), (100, 10, (43, 0, 13, 10)), (10, 10, (0, 0, 10, 10))],
)
def test_without_a_box_that_fits_the_largest_in_the_middle_is_taken(
    height: int, width: int, box: tuple[int, ...]
) -> None:
    # The whole area fits only where the shape is the image's own to the pixel.
    crop = RandomResizedCrop(scale=(1, 1), ratio=(3 / 4, 4 / 3))
    boxes = torch.stack(crop.draw(500, height, width, seeded(0)), dim=1)
    assert list(box) in boxes.tolist()
    if height != width:
        assert (boxes == torch.tensor(box)).all()


def test_the_whole_image_is_left_as_it_is() -> None:
    images = smooth_images(20)
    equal(RandomResizedCrop(scale=(1, 1), ratio=(1, 1)), images, 0, list(images))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"scale": (0.5, 0.2)},
            r"scale must be two increasing numbers in 0\.\.1; got \(0.5, 0.2\)",
        ),
        ({"scale": (0.2, 1.5)}, r"scale must be .* got \(0.2, 1.5\)"),
        ({"ratio": (0, 1)}, r"ratio must be .* got \(0, 1\)"),
        ({"scale": (float("nan"), 1)}, r"scale must be .* got \(nan, 1\)"),
        ({"scale": 0.5}, r"scale must be two increasing numbers .* got 0.5"),
        ({"scale": (0.1, 0.5, 1)}, r"scale must be two increasing numbers .* got \(0.1, 0.5, 1\)"),
    ],
)
def test_impossible_ranges_of_boxes_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        RandomResizedCrop(**arguments)


# --- colours --------------------------------------------------------------------------------------


def turned_hue(image: Image.Image, turns: float) -> Image.Image:
    h, s, v = image.convert("HSV").split()
    shifted = np.asarray(h) + np.array(int(turns * 255) % 256, dtype=np.uint8)
    return Image.merge("HSV", (Image.fromarray(shifted), s, v)).convert("RGB")


JITTER = [
    lambda image, x: ImageEnhance.Brightness(image).enhance(x),
    lambda image, x: ImageEnhance.Contrast(image).enhance(x),
    lambda image, x: ImageEnhance.Color(image).enhance(x),
    turned_hue,
]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8)])
def test_color_jitter_is_pillows_on_the_same_draws_in_the_same_order(
    height: int, width: int
) -> None:
    images = smooth_images(300, height, width)
    generator = seeded(9)
    coins = torch.rand(300, generator=generator) < 0.8
    order = torch.rand(300, 4, generator=generator).argsort(dim=1)
    ranges = [(0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1)]
    sizes = [low + (high - low) * unit(300, generator) for low, high in ranges]
    views = []
    for place, image in enumerate(images):
        view = Image.fromarray(image)
        for kind in order[place].tolist() if coins[place] else []:
            view = JITTER[kind](view, sizes[kind][place].item())
        views.append(view)
    equal(ColorJitter(), images, 9, views)
    assert len(order.unique(dim=0)) == 24


def test_color_jitter_without_hue_leaves_one_hue_so() -> None:
    red = torch.zeros(50, 8, 8, 3, dtype=torch.uint8)
    red[..., 0] = torch.arange(8, dtype=torch.uint8) * 25
    changed = ColorJitter(0.4, 0, 0, 0, p=1)(red, seeded(0))
    assert not changed[..., 1:].any()
    levels = changed[:, 0, :, 0].double()
    factor = levels[:, 7] / 175
    assert 0.59 < factor.min() < 0.7 < 1.3 < factor.max() < 1.41
    torch.testing.assert_close(levels[:, 4], 100 * factor, rtol=0, atol=1)


def test_color_jitter_of_nothing_changes_nothing() -> None:
    images = torch.from_numpy(smooth_images(20))
    assert torch.equal(ColorJitter(0, 0, 0, 0, p=1)(images, seeded(0)), images)
    assert torch.equal(ColorJitter(p=0)(images, seeded(0)), images)


def test_grayscale_takes_the_colour_of_the_images_that_draw_it() -> None:
    images = smooth_images(300)
    coins = torch.rand(300, generator=seeded(2)) < 0.2
    views = [
        Image.fromarray(x).convert("L").convert("RGB") if coin else x
        for x, coin in zip(images, coins.tolist(), strict=True)
    ]
    equal(Grayscale(), images, 2, views)
    assert 30 < coins.sum() < 90


def test_gaussian_blur_is_pillows_on_the_same_radii() -> None:
    images = smooth_images(300)
    generator = seeded(8)
    coins = torch.rand(300, generator=generator) < 0.5
    radii = 0.1 + 1.9 * unit(300, generator)
    views = [
        Image.fromarray(x).filter(ImageFilter.GaussianBlur(radius)) if coin else x
        for x, coin, radius in zip(images, coins.tolist(), radii.tolist(), strict=True)
    ]
    equal(GaussianBlur(), images, 8, views)


@pytest.mark.parametrize("make", [Grayscale, GaussianBlur, ColorJitter])
def test_probabilities_are_kept_to_and_checked(make: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 4, 4, 3), dtype=np.uint8)
    images = torch.from_numpy(noise)
    for p in (0.0, 0.3, 1.0):
        changed = (make(p=p)(images, seeded(0)) != images).flatten(1).any(1)
        assert changed.double().mean() == pytest.approx(p, abs=0.04)
    with pytest.raises(InputError, match=r"^p must be from 0 to 1; got 1\.2\.$"):
        make(p=1.2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"brightness": -0.1}, r"^brightness must be 0 or more; got -0\.1\.$"),
        ({"brightness": float("nan")}, r"^brightness must be 0 or more; got nan\.$"),
        ({"contrast": float("inf")}, r"^contrast must be 0 or more; got inf\.$"),
        ({"saturation": -1}, r"^saturation must be 0 or more; got -1\.$"),
        ({"hue": 0.6}, r"^hue must be from 0 to 0\.5; got 0\.6\.$"),
    ],
)
def test_impossible_jitters_are_refused(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ColorJitter(**arguments)


def test_impossible_radii_are_refused() -> None:
    with pytest.raises(InputError, match=r"radius must be two increasing numbers .* \(2, 1\)"):
        GaussianBlur((2, 1))
