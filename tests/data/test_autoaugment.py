"""AutoAugment and RandAugment: the policy's table, what is drawn, and every view by Pillow."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

from everyclass.data.augmentation import AutoAugment, RandAugment
from everyclass.data.augmentation.policies import POLICIES
from everyclass.errors import EveryclassError, InputError

AFFINE = Image.Transform.AFFINE

# Operation, probability, level, twice per pair; some operations have no magnitude to take it.
TABLE = """
invert .1 7 contrast .2 6          | rotate .7 2 translate-x .3 9
sharpness .8 1 sharpness .9 3      | shear-y .5 8 translate-y .7 9
autocontrast .5 8 equalize .9 2    | shear-y .2 7 posterize .3 7
color .4 3 brightness .6 7         | sharpness .3 9 brightness .7 9
equalize .6 5 equalize .5 1        | contrast .6 7 sharpness .6 5
color .7 7 translate-x .5 8        | equalize .3 7 autocontrast .4 8
translate-y .4 3 sharpness .2 6    | brightness .9 6 color .2 8
solarize .5 2 invert 0 3           | equalize .2 0 autocontrast .6 0
equalize .2 8 equalize .6 4        | color .9 9 equalize .6 6
autocontrast .8 4 solarize .2 8    | brightness .1 3 color .7 0
solarize .4 5 autocontrast .9 3    | translate-y .9 9 translate-y .7 9
autocontrast .9 2 solarize .8 3    | equalize .8 8 invert .1 3
translate-y .7 9 autocontrast .9 1
"""
WITHOUT_MAGNITUDE = ("autocontrast", "equalize", "invert")


def table() -> list[tuple[tuple[str, float, int], ...]]:
    pairs = []
    for pair in TABLE.replace("\n", "|").split("|"):
        if words := pair.split():
            steps = [(words[i], float(words[i + 1]), int(words[i + 2])) for i in (0, 3)]
            pairs.append(tuple((n, p, 0 if n in WITHOUT_MAGNITUDE else m) for n, p, m in steps))
    return pairs


def smooth_images(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    size, cubic = (width, height), Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(x).resize(size, cubic)) for x in coarse])


def by_pillow(image: Image.Image, name: str, share: float, sign: float, published: bool) -> Any:
    """One step on one image; ``share`` is the level over the highest one."""
    grey = (128,) * 3 if published else (0,) * 3
    shear, resample = 0.3 * share * sign, Image.Resampling(3 if published else 0)
    side = image.height if name == "translate-y" else image.width
    shift = 150 / 331 * side * share * sign
    if not published:
        shift = int(shift)
    match name:
        case "identity":
            return image
        case "shear-x":
            return image.transform(image.size, AFFINE, (1, shear, 0, 0, 1, 0), resample, 1, grey)
        case "shear-y":
            return image.transform(image.size, AFFINE, (1, 0, 0, shear, 1, 0), resample, 1, grey)
        case "translate-x":
            return image.transform(image.size, AFFINE, (1, 0, shift, 0, 1, 0), fillcolor=grey)
        case "translate-y":
            return image.transform(image.size, AFFINE, (1, 0, 0, 0, 1, shift), fillcolor=grey)
        case "rotate":
            return image.rotate(30 * share * (1 if published else sign), fillcolor=grey)
        case "posterize":
            return ImageOps.posterize(image, 8 - round(4 * share))
        case "solarize":
            exact = Fraction(share).limit_denominator(30)  # 255 · (1 − 1/3) is 170, not a hair more
            return ImageOps.solarize(image, float((256 if published else 255) * (1 - exact)))
        case "autocontrast" | "equalize" | "invert":
            return getattr(ImageOps, name)(image)
    return getattr(ImageEnhance, name.title())(image).enhance(1 + 0.9 * share * sign)


# --- AutoAugment ----------------------------------------------------------------------------------


def test_the_policy_is_the_papers() -> None:
    assert list(POLICIES["cifar10"]) == table()
    assert len(POLICIES["cifar10"]) == 25
    names = Counter(name for pair in POLICIES["cifar10"] for name, _, _ in pair)
    assert names["equalize"] == 9
    assert names["autocontrast"] == 7
    assert "shear-x" not in names
    assert sum(names.values()) == 50


@pytest.mark.parametrize("style", ["torchvision", "published"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8), (20, 24)])
def test_every_view_is_what_pillow_makes_of_the_same_draws(
    style: str, height: int, width: int
) -> None:
    images = smooth_images(400, height, width)
    augment = AutoAugment("cifar10", style=style)
    got = augment(torch.from_numpy(images), torch.Generator().manual_seed(4))
    drawn = augment.draw(400, torch.Generator().manual_seed(4))
    wanted = []
    for place, image in enumerate(images):
        view = Image.fromarray(image)
        for step, (name, _, level) in enumerate(table()[drawn.pair[place]]):
            if drawn.applied[place, step]:
                sign = drawn.sign[place, step].item()
                view = by_pillow(view, name, level / 9, sign, style == "published")
        wanted.append(np.asarray(view))
    np.testing.assert_array_equal(got.numpy(), np.stack(wanted))


def test_pairs_steps_and_signs_come_up_as_often_as_they_should() -> None:
    n = 100_000
    pair, applied, sign = AutoAugment().draw(n, torch.Generator().manual_seed(0))
    assert stats.chisquare(pair.bincount(minlength=25)).pvalue > 0.001
    for number, steps in enumerate(table()):
        for step, (_, p, _) in enumerate(steps):
            taken = applied[pair == number, step]
            if p == 0:
                assert not taken.any()
            else:
                assert stats.binomtest(int(taken.sum()), len(taken), p).pvalue > 0.0001
    for step in range(2):
        assert stats.binomtest(int((sign[:, step] == 1).sum()), n, 0.5).pvalue > 0.001
        assert set(sign[:, step].tolist()) == {-1.0, 1.0}
    # Both steps are drawn independently of one another.
    both = torch.bincount(2 * (sign[:, 0] > 0).long() + (sign[:, 1] > 0).long(), minlength=4)
    assert stats.chisquare(both).pvalue > 0.001


def test_every_image_draws_for_itself_and_a_seed_repeats_it() -> None:
    same = torch.from_numpy(smooth_images(1)).expand(200, -1, -1, -1).contiguous()
    first, again, other = (
        AutoAugment()(same, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.unique(dim=0)) > 40


def test_a_batch_of_one() -> None:
    image = torch.from_numpy(smooth_images(1))
    views = [AutoAugment()(image, torch.Generator().manual_seed(s)) for s in range(30)]
    assert {view.shape for view in views} == {(1, 32, 32, 3)}
    assert len(torch.cat(views).unique(dim=0)) > 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"policy": "cifar"}, "There is no policy 'cifar'; there are cifar10; did you mean"),
        ({"style": "publshed"}, "torchvision, published; did you mean 'published'?"),
    ],
)
def test_unknown_names_are_refused(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        AutoAugment(**arguments)
    assert said in str(caught.value)


# --- RandAugment ----------------------------------------------------------------------------------


def test_randaugment_has_torchvisions_set() -> None:
    assert set(RandAugment().operations) == {
        *("identity", "shear-x", "shear-y", "translate-x", "translate-y", "rotate"),
        *("brightness", "color", "contrast", "sharpness", "posterize", "solarize"),
        *("autocontrast", "equalize"),
    }


@pytest.mark.parametrize(
    ("num_ops", "magnitude"), [(2, 9), (1, 0), (3, 30), (0, 9), (3, 10), (3, 22)]
)
def test_randaugment_is_what_pillow_makes_of_the_same_draws(num_ops: int, magnitude: int) -> None:
    images = smooth_images(300)
    augment = RandAugment(num_ops, magnitude)
    got = augment(torch.from_numpy(images), torch.Generator().manual_seed(5))
    kind, strength = augment.draw(300, torch.Generator().manual_seed(5))
    names = list(augment.operations)
    wanted = []
    for place, image in enumerate(images):
        view = Image.fromarray(image)
        for step in range(num_ops):
            signed = strength[place, step].item()
            drawn = names[kind[place, step]], magnitude / 30, math.copysign(1, signed)
            view = by_pillow(view, *drawn, published=False)
        wanted.append(np.asarray(view))
    np.testing.assert_array_equal(got.numpy(), np.stack(wanted))


def test_randaugment_draws_all_operations_alike() -> None:
    kind, strength = RandAugment().draw(50_000, torch.Generator().manual_seed(0))
    pairs = (14 * kind[:, 0] + kind[:, 1]).bincount(minlength=14 * 14)
    assert stats.chisquare(pairs).pvalue > 0.001
    assert stats.binomtest(int((strength > 0).sum()), strength.numel(), 0.5).pvalue > 0.001


def test_levels_vary_and_operations_are_skipped_where_that_is_asked_for() -> None:
    augment = RandAugment(2, 21, magnitude_std=1.5, probability=0.5)
    assert next(iter(augment.operations)) == "identity"
    kind, strength = augment.draw(50_000, torch.Generator().manual_seed(0))
    skipped = int((kind == 0).sum())  # half, and the identity itself
    assert stats.binomtest(skipped, kind.numel(), 0.5 + 0.5 / 14).pvalue > 0.001
    level = 30 * strength.abs().flatten()
    assert stats.kstest(level[:5000].numpy(), stats.norm(21, 1.5).cdf).pvalue > 0.001
    strongest = RandAugment(2, 30, magnitude_std=1.5).draw(1000, torch.Generator().manual_seed(0))
    assert strongest[1].abs().max() == 1
    with pytest.raises(InputError, match=r"^magnitude_std must be 0 or more; got -1\.$"):
        RandAugment(magnitude_std=-1, probability=0.5)
    with pytest.raises(InputError, match=r"^probability must be from 0 to 1; got 1\.5\.$"):
        RandAugment(probability=1.5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((-1, 9), "num_ops must be 0 or more; got -1."),
        ((1.5, 9), "num_ops must be a whole number; got 1.5."),
        ((2, -1), "magnitude must be from 0 to 30; got -1."),
        ((2, 31), "magnitude must be from 0 to 30; got 31."),
    ],
)
def test_randaugment_refuses_impossible_numbers(arguments: tuple[int, int], said: str) -> None:
    with pytest.raises(EveryclassError) as caught:
        RandAugment(*arguments)
    assert str(caught.value) == said
