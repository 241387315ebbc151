"""The real CIFAR files give the published splits, index by index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everyclass.data import DataConfig, Dataset, load_dataset

pytestmark = pytest.mark.cifar


@pytest.fixture(scope="module")
def cifar100(cifar_root: Path) -> Dataset:
    return load_dataset(DataConfig("cifar100-lt", val="rest"), root=cifar_root)


@pytest.fixture(scope="module")
def cifar10(cifar_root: Path) -> Dataset:
    return load_dataset(DataConfig("cifar10-lt"), root=cifar_root)


def test_cifar100_lt_at_ratio_100(cifar100: Dataset) -> None:
    train = cifar100.train
    assert train.fingerprint == "e0d58a4d2700c46062da852554e5d185bbee74d3c612b052ea2a839bdadf939e"
    assert train.images.shape == (10_847, 32, 32, 3)
    counts = cifar100.class_counts
    assert counts.counts[[0, 34, 35, 69, 70, 99]].tolist() == [500, 102, 98, 20, 19, 5]
    assert counts.imbalance_ratio == 100.0
    assert cifar100.class_names[:3] == ("apple", "aquarium_fish", "baby")
    assert len(np.unique(train.index)) == len(train)


def test_the_rest_of_cifar100_lt(cifar100: Dataset) -> None:
    rest = cifar100.val
    assert rest is not None
    assert len(rest) == 8_726 == 19_573 - 10_847
    counts = np.bincount(rest.labels, minlength=100)
    assert (counts[0], counts[1], counts.max(), counts[99]) == (0, 11, 125, 45)
    assert not set(rest.index) & set(cifar100.train.index)


def test_cifar10_lt_at_ratio_100(cifar10: Dataset) -> None:
    train = cifar10.train
    assert train.fingerprint == "4bf45bff8878d2786e47dccd702f96ff33b2b11d8c7da3b5015f10937290f866"
    ten = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert cifar10.class_counts.counts.tolist() == ten
    assert cifar10.class_names[:3] == ("airplane", "automobile", "bird")
    assert cifar10.val is None


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_test_sets_are_whole_and_balanced(name: str, request: pytest.FixtureRequest) -> None:
    dataset: Dataset = request.getfixturevalue(name)
    classes = dataset.num_classes
    assert np.bincount(dataset.test.labels).tolist() == [10_000 // classes] * classes
    assert dataset.test.index.tolist() == list(range(10_000))
    # Known pixel statistics of the whole sets; a swapped channel or axis would show.
    wanted = {"cifar10": (125.3, 123.0, 113.9), "cifar100": (129.3, 124.1, 112.4)}[name]
    means = dataset.test.images.reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(means, wanted, atol=2.0)
