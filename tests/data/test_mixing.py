"""Mixup and CutMix: the law of λ, whose labels, the mixed loss, the box's area."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from everyclass.data import CutMix, Mixed, Mixup
from everyclass.errors import InputError

MIXERS = [Mixup, CutMix]


def batch(count: int, height: int = 8, width: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose every value is their label, channels last as the loop has them."""
    labels = torch.arange(count)
    images = labels.float().view(-1, 1, 1, 1).expand(-1, 3, height, width)
    return images.contiguous(memory_format=torch.channels_last), labels


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixups_weight_follows_the_beta_distribution(alpha: float) -> None:
    images, labels = batch(2, 1, 1)
    generator = seeded(0)
    weights = [Mixup(alpha)(images, labels, generator).weight for _ in range(4000)]
    assert stats.kstest(weights, stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_a_mixup_is_the_weighted_mean_of_an_image_and_its_partner() -> None:
    images, labels = batch(50)
    mixed = Mixup()(images, labels, seeded(1))
    wanted = mixed.weight * labels + (1 - mixed.weight) * mixed.partner_labels
    torch.testing.assert_close(mixed.images, wanted.view(-1, 1, 1, 1).expand_as(images))
    assert 0 < mixed.weight < 1


@pytest.mark.parametrize("mixer", MIXERS)
def test_partners_are_a_permutation_and_inputs_stay(mixer: Any) -> None:
    images, labels = batch(50)
    before = images.clone()
    mixed = mixer()(images, labels, seeded(1))
    assert torch.equal(mixed.labels, labels)
    assert torch.equal(mixed.partner_labels.sort().values, labels)
    assert not torch.equal(mixed.partner_labels, labels)
    assert torch.equal(images, before)
    assert mixed.images.is_contiguous(memory_format=torch.channels_last)
    assert mixed.images.dtype == images.dtype


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_loss_is_mixed_like_the_images(mixer: Any, reduction: str) -> None:
    images, labels = batch(12)
    mixed = mixer()(images, labels, seeded(3))
    logits = torch.randn(12, 12, generator=seeded(4), requires_grad=True)

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, reduction=reduction)

    got = mixed.loss(loss, logits)
    soft = mixed.weight * F.one_hot(mixed.labels, 12)
    soft = soft + (1 - mixed.weight) * F.one_hot(mixed.partner_labels, 12)
    torch.testing.assert_close(got, F.cross_entropy(logits, soft, reduction=reduction))
    got.sum().backward()
    assert logits.grad is not None


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_at_the_ends_one_label_counts(weight: float) -> None:
    images, labels = batch(4)
    mixed = Mixed(images, labels, labels.flip(0), weight)
    logits = torch.randn(4, 4, generator=seeded(0))
    wanted = F.cross_entropy(logits, labels if weight == 1 else labels.flip(0))
    torch.testing.assert_close(mixed.loss(F.cross_entropy, logits), wanted)


@pytest.mark.parametrize(("height", "width"), [(8, 10), (32, 32), (1, 1), (3, 2)])
def test_cutmix_pastes_one_box_and_weighs_by_its_real_area(height: int, width: int) -> None:
    images, labels = batch(9, height, width)
    generator = seeded(0)
    for _ in range(60):
        mixed = CutMix()(images, labels, generator)
        pasted = mixed.images != images
        differing = mixed.partner_labels != labels
        one = pasted[differing][0, 0]
        assert (pasted[differing] == one).all()
        assert not pasted[~differing].any()
        # A box: wherever its line and its column are both touched.
        assert torch.equal(one, one.any(1)[:, None] & one.any(0)[None])
        assert mixed.weight == pytest.approx(1 - one.sum().item() / one.numel())
        partners = mixed.partner_labels.view(-1, 1, 1, 1).expand_as(images).float()
        assert torch.equal(mixed.images[pasted], partners[pasted])


def test_cutmix_boxes_have_the_drawn_area_and_lie_anywhere() -> None:
    """Sides are √(1 − λ) of the image's; where the border does not cut, areas are 1 − λ."""
    images, labels = batch(2, 64, 64)
    generator = seeded(0)
    touched = torch.zeros(64, 64)
    weights = []
    for _ in range(2000):
        mixed = CutMix()(images, labels, generator)
        weights.append(mixed.weight)
        if mixed.partner_labels[0] != 0:
            touched += mixed.images[0, 0] != 0
    # E[area after cutting]: for a side s, the mean of the kept share is s − s²/4 each way.
    sides = torch.linspace(0, 1, 10_001, dtype=torch.float64)[1:].sub(5e-5)
    kept = (sides - sides**2 / 4) ** 2
    wanted = (kept * 2 * sides).mean()  # λ uniform, so that s = √(1 − λ) has density 2s
    assert 1 - sum(weights) / 2000 == pytest.approx(wanted.item(), abs=0.03)
    assert touched.min() > 50


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_batch_of_one_is_mixed_with_itself(mixer: Any) -> None:
    images, labels = batch(1)
    mixed = mixer()(images + 3, labels, seeded(0))
    torch.testing.assert_close(mixed.images, images + 3)
    assert mixed.partner_labels.tolist() == [0]


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_generator_alone_decides(mixer: Any) -> None:
    images, labels = batch(20)
    state = torch.get_rng_state()
    first, again, other = (mixer()(images, labels, seeded(s)) for s in (5, 5, 6))
    assert torch.equal(first.images, again.images)
    assert first.weight == again.weight != other.weight
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("mixer", MIXERS)
def test_nothing_is_read_back_from_the_device(mixer: Any) -> None:
    images, labels = (x.to("meta") for x in batch(6))
    mixed = mixer()(images, labels, seeded(0))
    assert mixed.images.device.type == mixed.partner_labels.device.type == "meta"
    assert isinstance(mixed.weight, float)


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_an_impossible_alpha_is_refused(mixer: Any, alpha: float) -> None:
    with pytest.raises(InputError, match=rf"^alpha must be above 0; got {alpha}\.$"):
        mixer(alpha)
