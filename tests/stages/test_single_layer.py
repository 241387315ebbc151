"""One layer in the place of the ensemble, and how much that loses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gaussians import Gaussians
from sklearn.metrics import recall_score

from everyclass import Features, Head, RescueResult, Retraining, rescue
from everyclass.errors import InputError
from everyclass.stages import Ensemble, approximate_by_one_layer

CLASSES = Gaussians(4, 6, spread=0.8)


@pytest.fixture(scope="module")
def rescued() -> tuple[RescueResult, Features, Features]:
    train = CLASSES.draw([150, 60, 20, 10], seed=1)
    test = CLASSES.draw([60] * 4, seed=2)
    return rescue(train, retraining=Retraining(penalty=1e-2)), train, test


def test_a_head_is_its_own_approximation(
    rescued: tuple[RescueResult, Features, Features],
) -> None:
    result, train, test = rescued
    found = result.single_layer(train, "retrained", judged_on=test)
    assert found.kl < 1e-4
    assert found.same_answers > 0.99


def test_the_loss_is_what_it_says(rescued: tuple[RescueResult, Features, Features]) -> None:
    result, train, test = rescued
    found = result.single_layer(train, "ensemble", judged_on=test)
    wanted = torch.from_numpy(result.ensemble.logits(test.features)).softmax(1)
    given = torch.from_numpy(found.head.logits(test.features)).double().log_softmax(1)
    divergence = torch.nn.functional.kl_div(given, wanted, reduction="batchmean")
    assert found.kl == pytest.approx(float(divergence), rel=1e-3)
    assert 0 < found.kl < 0.05
    said = given.argmax(1).numpy()
    assert found.same_answers == pytest.approx((said == wanted.argmax(1).numpy()).mean())
    recalls = [
        recall_score(test.labels, each, average=None) for each in (wanted.argmax(1).numpy(), said)
    ]
    assert found.lowest_recall == pytest.approx([r.min() for r in recalls])
    assert found.largest_recall_drop == pytest.approx(max(0, (recalls[0] - recalls[1]).max()))
    assert found.judged_on == 240
    assert "of 240 images" in str(found)


def test_it_is_better_than_the_mean_of_the_logits(
    rescued: tuple[RescueResult, Features, Features],
) -> None:
    result, train, _ = rescued
    both = result.ensemble
    weight = (both.old.weight / both.t_old + both.new.weight / both.t_new) / 2
    bias = (both.old.bias / both.t_old + both.new.bias / both.t_new) / 2
    middle = torch.from_numpy(Head(weight, bias).logits(train.features)).double().log_softmax(1)
    wanted = torch.from_numpy(both.logits(train.features)).softmax(1)
    per_image = (wanted * (wanted.clamp_min(1e-300).log() - middle)).sum(1).numpy()
    balanced = np.mean([per_image[train.labels == c].mean() for c in range(4)])
    found = result.single_layer(train, "ensemble")
    fitted = torch.from_numpy(found.head.logits(train.features)).double().log_softmax(1)
    ours = (wanted * (wanted.clamp_min(1e-300).log() - fitted)).sum(1).numpy()
    assert np.mean([ours[train.labels == c].mean() for c in range(4)]) < balanced


def test_without_a_bias(rescued: tuple[RescueResult, Features, Features]) -> None:
    result, train, test = rescued
    found = result.single_layer(train, "retrained", judged_on=test, bias=False)
    assert not found.head.bias.any()
    assert found.kl > 0
    constant = [
        Features(np.hstack([x.features, np.ones((len(x), 1))]), x.labels) for x in (train, test)
    ]
    again = rescue(constant[0], retraining=Retraining(penalty=1e-2))
    without = again.single_layer(constant[0], "retrained", judged_on=constant[1], bias=False)
    assert not without.head.bias.any()
    assert without.kl < min(1e-4, found.kl)  # the column of ones stands in for a bias


def test_a_column_that_varies_by_rounding_only_has_no_part() -> None:
    drawn, noise = CLASSES.draw([40, 20, 20, 10], seed=1), np.random.default_rng(0)
    column = 1 + 1e-6 * noise.uniform(-1, 1, (len(drawn), 1)) + 5e-7 * (drawn.labels == 0)[:, None]
    images = Features(np.hstack([drawn.features.astype(np.float64), column]), drawn.labels)
    old = Head(np.eye(4, 7), np.zeros(4))
    weight = approximate_by_one_layer(Ensemble(old, old, 1, 2), images).head.weight
    assert np.abs(weight[:, :6]).max() > 0.1
    assert not weight[:, 6].any()


def test_views_and_other_widths() -> None:
    old, new = Head(np.eye(4, 6), np.zeros(4)), Head(-np.eye(4, 6), np.ones(4))
    images = CLASSES.draw([20] * 4, seed=0)
    views = Features(np.stack([images.features, images.features + 0.1]), images.labels)
    assert approximate_by_one_layer(Ensemble(old, new, 1, 1), views).judged_on == 80
    with pytest.raises(InputError, match=r"judge the layer on has features of width 3 .* have 6"):
        approximate_by_one_layer(
            old, images, judged_on=Features(images.features[:, :3], images.labels)
        )


def test_images_of_other_classes_judge_nothing() -> None:
    head, drawn = Head(np.eye(4, 6), np.zeros(4)), CLASSES.draw([20] * 4, seed=0)
    names = ("cat", "dog", "lynx", "wolf")
    train, turned, more = (
        Features(drawn.features, drawn.labels, class_names=each)
        for each in (names, names[::-1], (*names, "yak"))
    )
    assert approximate_by_one_layer(head, train, judged_on=train).judged_on == 80
    with pytest.raises(
        InputError, match=r"calls class 0 'wolf' and the training features .* 'cat'"
    ):
        approximate_by_one_layer(head, train, judged_on=turned)
    with pytest.raises(InputError, match="names of 5 classes and training has 4 classes"):
        approximate_by_one_layer(head, train, judged_on=more)
    beyond = Features(drawn.features, drawn.labels + 1)
    with pytest.raises(InputError, match=r"labels\[\d+\] is 4, and training knows only classes 0"):
        approximate_by_one_layer(head, train, judged_on=beyond)
