"""The one batched gather against Pillow, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from everyclass.data import BatchAugmentation

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
CPU = torch.device("cpu")


def some_images(count: int = 9, height: int = 10, width: int = 12) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def augmentation(images: np.ndarray, padding: int, flip: bool) -> BatchAugmentation:
    return BatchAugmentation(
        torch.from_numpy(images), mean=MEAN, std=STD, crop_padding=padding, flip=flip, device=CPU
    )


def normalised(image: np.ndarray) -> np.ndarray:
    pixels = image.astype(np.float64).transpose(2, 0, 1) / 255
    mean, std = np.array(MEAN)[:, None, None], np.array(STD)[:, None, None]
    return (pixels - mean) / std


def by_pillow(
    images: np.ndarray, rows: torch.Tensor, seed: int, padding: int, flip: bool
) -> np.ndarray:
    """The usual pipeline on the same draws: pad with black, crop, mirror, normalise."""
    generator = torch.Generator().manual_seed(seed)
    top, left = torch.randint(0, 2 * padding + 1, (2, len(rows)), generator=generator).tolist()
    coins = torch.rand(len(rows), generator=generator) if flip else torch.ones(len(rows))
    views = []
    for place, row in enumerate(rows.tolist()):
        image = ImageOps.expand(Image.fromarray(images[row]), border=padding, fill=0)
        height, width = images.shape[1:3]
        x, y = left[place], top[place]
        image = image.crop((x, y, x + width, y + height))
        if coins[place] < 0.5:
            image = ImageOps.mirror(image)
        views.append(normalised(np.asarray(image)))
    return np.stack(views)


@given(
    rows=st.lists(st.integers(0, 8), min_size=1, max_size=12),
    seed=st.integers(0, 2**32 - 1),
    padding=st.integers(0, 4),
    flip=st.booleans(),
)
def test_a_view_is_what_pillow_makes_of_the_same_draws(
    rows: list[int], seed: int, padding: int, flip: bool
) -> None:
    images, chosen = some_images(), torch.tensor(rows)
    got = augmentation(images, padding, flip).augmented(chosen, torch.Generator().manual_seed(seed))
    assert got.shape == (len(rows), 3, 10, 12)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, by_pillow(images, chosen, seed, padding, flip), atol=1e-5)


@pytest.mark.parametrize("padding", [0, 4])
def test_plain_images_are_normalised_and_no_more(padding: int) -> None:
    images = some_images()
    got = augmentation(images, padding, True).plain(torch.tensor([3, 3, 0]))
    wanted = np.stack([normalised(images[i]) for i in (3, 3, 0)])
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_without_padding_and_flip_nothing_is_changed() -> None:
    batches = augmentation(some_images(), 0, False)
    rows = torch.arange(9)
    view = batches.augmented(rows, torch.Generator().manual_seed(5))
    assert torch.equal(view, batches.plain(rows))


def test_batches_are_channels_last() -> None:
    batches = augmentation(some_images(), 2, True)
    rows = torch.arange(9)
    for batch in (batches.plain(rows), batches.augmented(rows, torch.Generator())):
        assert batch.is_contiguous(memory_format=torch.channels_last)


def test_the_generator_alone_decides() -> None:
    batches, rows = augmentation(some_images(), 4, True), torch.arange(9)

    def view(seed: int) -> torch.Tensor:
        return batches.augmented(rows, torch.Generator().manual_seed(seed))

    torch.manual_seed(0)
    first = view(1)
    torch.manual_seed(99)
    assert torch.equal(first, view(1))
    assert not torch.equal(first, view(2))
    state = torch.get_rng_state()
    view(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_offset_and_both_sides_come_up_evenly() -> None:
    """A white image in a black frame: what is cut off at the top and left shows the offset."""
    white = np.full((1, 4, 4, 3), 255, dtype=np.uint8)
    batches = augmentation(white, 2, False)
    views = batches.augmented(
        torch.zeros(5000, dtype=torch.int64), torch.Generator().manual_seed(0)
    )
    lit = views[:, 0] > 0
    rows, columns = lit.any(2).sum(1), lit.any(1).sum(1)
    # Offsets 0..4 leave 2, 3, 4, 3, 2 of the four lines.
    for seen in (rows, columns):
        shares = torch.bincount(seen, minlength=5)[2:] / 5000
        np.testing.assert_allclose(shares, [0.4, 0.4, 0.2], atol=0.03)
    half = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    half[:, :, :2] = 255
    flipped = augmentation(half, 0, True).augmented(
        torch.zeros(5000, dtype=torch.int64), torch.Generator().manual_seed(0)
    )
    assert (flipped[:, 0, 0, 0] < 0).float().mean() == pytest.approx(0.5, abs=0.03)


def test_the_callers_images_are_not_changed() -> None:
    images = some_images()
    before = images.copy()
    batches = augmentation(images, 0, True)
    batches.augmented(torch.arange(9), torch.Generator())
    batches.plain(torch.arange(9))
    np.testing.assert_array_equal(images, before)
