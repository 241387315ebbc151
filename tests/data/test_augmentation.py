"""Batches of crops and mirrors against Pillow, image by image; what every pipeline keeps to."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

import everyclass.data.augmentation as room
from everyclass.data import AUGMENTATIONS, BatchAugmentation, get_augmentation
from everyclass.data.augmentation import (
    AutoAugment,
    ColorJitter,
    CropAndFlip,
    CutMix,
    Cutout,
    GaussianBlur,
    Grayscale,
    Mixup,
    RandAugment,
    RandomResizedCrop,
    Rotation,
    Transform,
)
from everyclass.errors import InputError, InputTypeError

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
CPU = torch.device("cpu")


def some_images(count: int = 9, height: int = 10, width: int = 12) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def batches_of(images: np.ndarray, *transforms: Transform) -> BatchAugmentation:
    return BatchAugmentation(
        torch.from_numpy(images), transforms=transforms, mean=MEAN, std=STD, device=CPU
    )


def augmentation(images: np.ndarray, padding: int, flip: bool) -> BatchAugmentation:
    return batches_of(images, CropAndFlip(padding, flip))


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


def test_normalising_line_by_line_is_normalising_pixel_by_pixel_bit_for_bit() -> None:
    """Runs that were stopped go on with the numbers they began with."""
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    pixels = torch.from_numpy(values).float()
    wanted = torch.addcmul(-mean / std, pixels, 1 / (255 * std)).permute(0, 3, 1, 2)
    assert torch.equal(batches_of(values).plain(torch.tensor([0])), wanted)


def test_no_rows_give_an_empty_batch_and_draw_nothing() -> None:
    for name in AUGMENTATIONS:
        batches = batches_of(some_images(), *get_augmentation(name, crop_padding=4, flip=True))
        generator = torch.Generator().manual_seed(0)
        view = batches.augmented(torch.empty(0, dtype=torch.int64), generator)
        assert view.shape == (0, 3, 10, 12)
        assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())


@pytest.mark.parametrize(
    "transform",
    [
        AutoAugment(),
        AutoAugment(style="published"),
        RandAugment(),
        RandAugment(magnitude_std=0.5, probability=0.5),
        RandomResizedCrop(),
        CropAndFlip(4, flip=True),
        CropAndFlip(0, flip=True),
        ColorJitter(),
        GaussianBlur(),
        Grayscale(),
        Rotation(),
        Cutout(),
    ],
    ids=repr,
)
def test_a_transform_takes_an_empty_batch(transform: Transform) -> None:
    images = torch.empty(0, 10, 12, 3, dtype=torch.uint8)
    view = transform(images, torch.Generator())
    assert (view.shape, view.dtype) == (images.shape, torch.uint8)


@pytest.mark.parametrize("mixer", [Mixup(), CutMix()], ids=repr)
def test_a_mixer_takes_an_empty_batch(mixer: Mixup | CutMix) -> None:
    mixed = mixer(torch.empty(0, 3, 10, 12), torch.empty(0, dtype=torch.long), torch.Generator())
    assert mixed.images.shape == (0, 3, 10, 12)


def test_two_pipelines_share_one_store_of_pixels() -> None:
    batches = augmentation(some_images(), 4, True)
    other = batches.with_transforms(())
    rows = torch.arange(9)
    assert torch.equal(other.augmented(rows, torch.Generator()), batches.plain(rows))
    assert not torch.equal(batches.augmented(rows, torch.Generator()), batches.plain(rows))
    assert other._pixels is batches._pixels
    assert len(other) == len(batches) == 9


@pytest.mark.parametrize("shape", [(9, 3, 10, 12), (10, 12, 3), (9, 10, 12, 4)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"must be uint8 of shape \(n, h, w, 3\); got torch.uint8"):
        batches_of(np.zeros(shape, dtype=np.uint8))


def test_images_of_another_type_are_refused() -> None:
    with pytest.raises(InputError, match=r"got torch.float32 of shape \(9, 10, 12, 3\)"):
        batches_of(some_images().astype(np.float32))


def test_a_negative_padding_is_refused() -> None:
    with pytest.raises(InputError, match=r"^padding must be 0 or more; got -1\.$"):
        CropAndFlip(-1, True)
    with pytest.raises(InputTypeError, match=r"^padding must be a whole number; got 1\.5\.$"):
        CropAndFlip(1.5, True)


# --- what views follow from -----------------------------------------------------------------------

OTHER_SETTINGS = [
    CropAndFlip(1, False),
    CropAndFlip(4, False),
    CropAndFlip(4, True),
    Cutout(),
    Cutout(8),
    AutoAugment(),
    AutoAugment(style="published"),
    RandAugment(1, 1),
    RandAugment(6, 1),
    RandAugment(6, 30),
    RandAugment(6, 30, magnitude_std=1.5),
    RandAugment(6, 30, probability=0.5),
    Rotation(),
    Rotation(20),
    RandomResizedCrop(),
    RandomResizedCrop((0.08, 1.0)),
    RandomResizedCrop(ratio=(0.5, 2.0)),
    *(ColorJitter(**{name: 0.3}) for name in ("brightness", "contrast", "saturation", "hue", "p")),
    Grayscale(),
    Grayscale(0.3),
    GaussianBlur(),
    GaussianBlur((0.1, 3.0)),
    GaussianBlur(p=0.3),
    Mixup(),
    Mixup(0.2),
    CutMix(),
    CutMix(0.2),
]


@pytest.mark.parametrize("transform", OTHER_SETTINGS, ids=repr)
def test_a_transform_is_written_as_it_is_made(transform: Transform) -> None:
    again = eval(repr(transform), dict(vars(room)))
    assert type(again) is type(transform)
    assert repr(again) == repr(transform)
    assert [repr(other) for other in OTHER_SETTINGS].count(repr(transform)) == 1


def test_equal_settings_are_written_alike_whatever_they_were_given_as() -> None:
    assert repr(CropAndFlip(np.int64(4), True)) == "CropAndFlip(padding=4, flip=True)"
    assert repr(Rotation(np.float32(15))) == repr(Rotation(15)) == "Rotation(degrees=15.0)"
    as_list = RandomResizedCrop([np.float64(0.5), 1], (0.5, 2))
    assert repr(as_list) == "RandomResizedCrop(scale=(0.5, 1.0), ratio=(0.5, 2.0))"


def test_other_settings_are_another_identity() -> None:
    images = some_images()
    found = [batches_of(images, t).identity() for t in OTHER_SETTINGS]
    assert all(found.count(one) == 1 for one in found)
    assert batches_of(images, RandAugment(1, 1)).identity() in found
    assert batches_of(images).identity()["transforms"] == []


def test_somebody_elses_transforms_are_told_apart_as_far_as_they_say() -> None:
    def turned(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return images.flip(1)

    class Silent:
        def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return images

    images = some_images()
    for make in (lambda: turned, Silent, lambda: partial(turned, generator=None)):
        one, same = (batches_of(images, make()).identity()["transforms"] for _ in range(2))
        assert one == same
        assert "0x" not in one[0]
    names = batches_of(images, turned, Silent(), partial(turned, generator=None)).identity()
    assert len(set(names["transforms"])) == 3


# --- pipelines by name ----------------------------------------------------------------------------


CROP = "CropAndFlip(padding=4, flip=True)"
FLIP = "CropAndFlip(padding=0, flip=True)"
OF_SHAPES = "ratio=(0.75, 1.3333333333333333)"
JITTER = "ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)"
ALWAYS = "ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0, p=1.0)"
GREY = "Grayscale(p=0.2)"
# As the methods' published code has them.
PIPELINES: dict[str, list[str]] = {
    "none": [],
    "basic": [CROP],
    "rotation": [CROP, "Rotation(degrees=15.0)"],
    "autoaugment": [
        CROP,
        "AutoAugment(policy='cifar10', style='published')",
        "Cutout(size=None)",
    ],
    "randaugment": [
        CROP,
        "RandAugment(num_ops=2, magnitude=9, magnitude_std=0.0, probability=1.0)",
    ],
    "jitter": [CROP, ALWAYS],
    "jitter-randaugment": [
        CROP,
        ALWAYS,
        "RandAugment(num_ops=2, magnitude=30, magnitude_std=1.5, probability=0.5)",
    ],
    "contrastive": [
        f"RandomResizedCrop(scale=(0.2, 1.0), {OF_SHAPES})",
        FLIP,
        JITTER,
        GREY,
        "GaussianBlur(radius=(0.1, 2.0), p=0.5)",
    ],
    "contrastive-less-blur": [
        f"RandomResizedCrop(scale=(0.2, 1.0), {OF_SHAPES})",
        FLIP,
        JITTER,
        GREY,
        "GaussianBlur(radius=(0.1, 2.0), p=0.2)",
    ],
    "contrastive-jitter": [
        f"RandomResizedCrop(scale=(0.08, 1.0), {OF_SHAPES})",
        FLIP,
        ALWAYS,
        GREY,
        "GaussianBlur(radius=(0.1, 2.0), p=0.5)",
    ],
    "contrastive-no-blur": [
        f"RandomResizedCrop(scale=(0.08, 1.0), {OF_SHAPES})",
        FLIP,
        JITTER,
        GREY,
    ],
}


def test_every_pipeline_is_looked_at() -> None:
    assert PIPELINES.keys() == AUGMENTATIONS.keys()


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_has_the_published_steps_and_constants(name: str) -> None:
    transforms = get_augmentation(name, crop_padding=4, flip=True)
    assert [repr(transform) for transform in transforms] == PIPELINES[name]


@pytest.mark.parametrize(
    ("wrong", "hint"), [("autoagment", "; did you mean 'autoaugment'?"), ("xyz", ".")]
)
def test_an_unknown_pipeline_is_refused_and_the_nearest_suggested(wrong: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        get_augmentation(wrong, crop_padding=4, flip=True)
    known = ", ".join(AUGMENTATIONS)
    assert str(caught.value) == f"There is no augmentation {wrong!r}; there are {known}{hint}"


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_what_must_not_be_mirrored_is_not(name: str) -> None:
    """Only CropAndFlip mirrors: a ramp stays a ramp under all steps that keep its tones."""
    transforms = get_augmentation(name, crop_padding=1, flip=False)
    assert not any(getattr(transform, "flip", False) for transform in transforms)
    ascending = np.broadcast_to(
        np.linspace(0, 255, 32, dtype=np.uint8)[None, None, :, None], (64, 32, 32, 3)
    ).copy()
    changing = ("AutoAugment", "RandAugment", "Cutout")
    kept = [t for t in transforms if type(t).__name__ not in changing]
    views = batches_of(ascending, *kept).augmented(torch.arange(64), torch.Generator())
    assert (views[..., 20].mean((1, 2)) > views[..., 10].mean((1, 2))).all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize(
    ("height", "width", "count"), [(32, 32, 1), (32, 32, 40), (8, 8, 40), (17, 24, 40)]
)
def test_a_seed_gives_the_same_views_and_no_other_state_matters(
    name: str, height: int, width: int, count: int
) -> None:
    images = some_images(40, height, width)
    before = images.copy()
    batches = batches_of(images, *get_augmentation(name, crop_padding=1, flip=False))
    rows = torch.arange(count)
    state = torch.get_rng_state()
    views = [batches.augmented(rows, torch.Generator().manual_seed(s)) for s in (7, 7, 8)]
    assert views[0].shape == (count, 3, height, width)
    assert views[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(views[0], views[1])
    if count > 1 and name != "none":
        assert not torch.equal(views[0], views[2])
        # The images of a batch draw for themselves.
        twice = batches.augmented(torch.zeros(40, dtype=torch.int64), torch.Generator())
        assert len(twice.unique(dim=0)) > 5
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_network_can_be_trained_on_the_views(name: str) -> None:
    batches = batches_of(some_images(), *get_augmentation(name, crop_padding=1, flip=True))
    views = batches.augmented(torch.arange(9), torch.Generator())
    assert not views.is_inference()
    layer = torch.nn.Conv2d(3, 2, 3)
    layer(views).sum().backward()
    assert layer.weight.grad is not None
    views += 1


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_nothing_is_ever_read_back_from_the_device(name: str) -> None:
    """The meta device has no values, so whatever asked for one would fail here."""
    batches = BatchAugmentation(
        torch.from_numpy(some_images(40, 32, 32)),
        transforms=get_augmentation(name, crop_padding=4, flip=True),
        mean=MEAN,
        std=STD,
        device=torch.device("meta"),
    )
    view = batches.augmented(torch.arange(40), torch.Generator().manual_seed(0))
    assert view.device.type == "meta"
    assert view.shape == (40, 3, 32, 32)
