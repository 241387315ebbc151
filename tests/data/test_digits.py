"""digits-lt: sizes, balance, and the same rows for ever."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from everyclass.data import DataConfig, Dataset, load_dataset, long_tailed_counts
from everyclass.errors import InputError


def digits(ratio: float = 20.0, **more: str) -> Dataset:
    return load_dataset(DataConfig("digits-lt", imbalance_ratio=ratio, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("ratio", [1.0, 10.0, 20.0, 120.0])
@pytest.mark.parametrize("profile", ["exp", "step"])
def test_sizes(ratio: float, profile: str) -> None:
    dataset = digits(ratio, profile=profile)
    wanted = long_tailed_counts(120, 10, ratio, profile)  # type: ignore[arg-type]
    assert dataset.class_counts.counts.tolist() == wanted.tolist()
    assert np.bincount(dataset.test.labels).tolist() == [50] * 10
    assert dataset.class_names == tuple("0123456789")


def test_no_image_is_in_two_parts_and_none_is_lost() -> None:
    dataset = digits(val="rest")
    assert dataset.val is not None
    parts = [set(part.index) for part in (dataset.train, dataset.val, dataset.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 1797


def test_images_are_scikit_learn_s() -> None:
    dataset, source = digits(val="rest"), load_digits()
    for part in (dataset.train, dataset.test, dataset.val):
        assert part is not None
        assert part.images.shape[1:] == (8, 8, 3)
        assert part.images.dtype == np.uint8
        assert part.labels.tolist() == source.target[part.index].tolist()
        grey = np.rint(source.images[part.index] / 16 * 255)
        for channel in range(3):
            assert np.abs(part.images[..., channel] - grey).max() <= 0.5
    assert (dataset.train.images.min(), dataset.train.images.max()) == (0, 255)


def test_the_same_rows_for_ever() -> None:
    assert digits().train.fingerprint == digits().train.fingerprint
    assert digits().train.fingerprint == FINGERPRINT
    assert digits().test.fingerprint == TEST_FINGERPRINT
    assert digits(50.0).test.fingerprint == TEST_FINGERPRINT  # whatever the ratio


def test_a_larger_ratio_keeps_a_prefix() -> None:
    wide, narrow = digits(5.0).train, digits(60.0).train
    for c in range(10):
        kept = narrow.index[narrow.labels == c]
        assert wide.index[wide.labels == c][: len(kept)].tolist() == kept.tolist()


def test_what_cannot_be_cut() -> None:
    with pytest.raises(InputError, match="the largest ratio possible is 120"):
        digits(121.0)


# SHA-256 of the original row numbers, written down on 23 November 2026.
FINGERPRINT = "137bfb49d0402c2ad6b30d72df5da27123e3f6e5b7945ca6ca3fa1d4f5d52fce"
TEST_FINGERPRINT = "32d6a06e1e3c88b0ec8d8c0092ca8386440668db3fa63496375d2a6c06562cdf"
