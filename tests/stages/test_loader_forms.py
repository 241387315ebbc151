"""Loaders of every form: tuples, dicts, data sets; labels as numbers, one-hot rows, strings."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from everyclass import extract, rescue
from everyclass.errors import InputError, InputTypeError

INPUTS = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


class Named(nn.Module):
    """Takes its inputs by name, as transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Linear(6, 4)
        self.classifier = nn.Linear(4, 3)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Any:
        x = self.trunk(values if mask is None else values * mask).tanh()
        return SimpleNamespace(logits=self.classifier(x))


MODEL = Named()
EXPECTED = extract(MODEL, [(INPUTS, LABELS)])


@pytest.mark.parametrize(
    "batch",
    [
        (INPUTS, LABELS),
        [INPUTS.double(), LABELS.int()],
        (INPUTS, LABELS[:, None]),
        (INPUTS, LABELS.tolist()),
        (INPUTS, LABELS.numpy()),
        (INPUTS.numpy(), LABELS.numpy()),
        {"values": INPUTS.numpy(), "labels": LABELS.numpy()},
        (INPUTS, nn.functional.one_hot(LABELS)),
        (INPUTS, nn.functional.one_hot(LABELS).float()),
        {"values": INPUTS, "labels": LABELS},
        {"values": INPUTS, "label": LABELS, "text": ["said"] * 12, "idx": LABELS},
        UserDict(values=INPUTS, mask=torch.ones(12, 1), target=LABELS),
        {"img": INPUTS, "y": LABELS},
        ({"values": INPUTS}, LABELS),
    ],
    ids=str,
)
def test_forms_that_say_the_same(batch: Any) -> None:
    found = extract(MODEL, [batch])
    np.testing.assert_allclose(found.features, EXPECTED.features, rtol=1e-6)
    assert found.labels.tolist() == LABELS.tolist()


def test_labels_under_another_name() -> None:
    batch = {"values": INPUTS, "coarse": 1 - LABELS % 2, "fine": LABELS}
    found = extract(MODEL, [batch], label_key="fine")
    assert found.labels.tolist() == LABELS.tolist()
    with pytest.raises(InputError, match="'values', 'coarse', 'fine', and none is called as label"):
        extract(MODEL, [batch])
    with pytest.raises(InputError, match=r"have no 'label'; they have 'values', 'coarse', 'fine'"):
        extract(MODEL, [batch], label_key="label")
    both = {"values": INPUTS, "label": LABELS, "target": LABELS}
    with pytest.raises(InputError, match='name the one that holds the labels with label_key="…"'):
        extract(MODEL, [both])


def test_labels_that_are_strings() -> None:
    names = ["cat", "dog", "lynx"]
    said = [names[c] for c in LABELS]
    found = extract(MODEL, [(INPUTS, said)], class_names=names)
    assert found.labels.tolist() == LABELS.tolist()
    with pytest.raises(InputError, match=r"labels are strings such as 'cat'; pass class_names="):
        extract(MODEL, [(INPUTS, said)])
    with pytest.raises(InputError, match=r"'lynx' is not in class_names, which has 'cat', 'dog', "):
        extract(MODEL, [(INPUTS, said)], class_names=["cat", "dog", "fox"])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (torch.tensor([[1.0, 0, 1]] * 12), r"labels\[0\] has 2 classes at once; multi-label"),
        (torch.tensor([[0, 0, 0]] * 12), r"labels\[0\] has 0 classes at once"),
        (torch.tensor([[0.7, 0.3, 0]] * 12), r"shape \(12, 3\), as mixup makes them"),
        (LABELS + 7, r"labels\[0\] is 7, outside 0\.\.2"),
        (["a", 3], "labels are strings such as 'a'"),
        (object(), "labels are a object, which is no tensor"),
        (LABELS - 1, r"labels\[0\] is -1, outside 0\.\.2"),
        (LABELS[:11], "labels has 11 entries where 12 are needed"),
        (torch.tensor(1), "are a single number; if the loader yields single samples, batch them"),
        (LABELS[:, None].repeat(1, 4), r"shape \(12, 4\), as one class per token has"),
        (LABELS[:, None, None], r"shape \(12, 1, 1\), as one class per pixel has"),
        (torch.zeros(12, 8, 8), r"shape \(12, 8, 8\), as one class per pixel has"),
        (LABELS.float(), r"must be integers 0\.\.C−1 and are float32 of shape \(12,\), as targets"),
        ((LABELS % 2).float()[:, None], r"float32 of shape \(12, 1\).*yield labels\.long\(\)"),
        (LABELS.double() / 2, "float64 of shape"),
        (LABELS.numpy().astype(complex), "complex128 of shape"),
    ],
)
def test_labels_that_are_no_classes(labels: Any, said: str) -> None:
    """They are refused at the first batch, and no further one is asked for."""

    def batches() -> Iterator[Any]:
        yield INPUTS, labels
        pytest.fail("the loader was asked for another batch")

    with pytest.raises((InputError, InputTypeError), match=said):
        extract(MODEL, batches())


def test_a_label_of_a_later_batch_is_named_by_its_row_in_all() -> None:
    with pytest.raises(InputError, match=r"labels\[14\] is 3, outside 0\.\.2"):
        extract(MODEL, [(INPUTS, LABELS), (INPUTS[:3], torch.tensor([0, 1, 3]))])


def test_labels_that_are_yes_or_no() -> None:
    found = extract(MODEL, [(INPUTS, LABELS[:, None] > 0), (INPUTS, LABELS > 0)])
    assert found.labels.tolist() == 2 * (LABELS > 0).long().tolist()


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (INPUTS, "yields no labels, only inputs"),
        ((INPUTS,), "yields no labels, only inputs"),
        ({"values": INPUTS}, "none is called as labels usually are"),
        ((INPUTS, LABELS, LABELS), r"yields a tuple of Tensor, Tensor, Tensor and must yield"),
        ((INPUTS[0], 1), r"yields single samples; batch them: DataLoader\(dataset, batch_size=64"),
        ({"text": ["a"], "label": [0]}, r"no tensor beside the labels \('text': list\)"),
        (
            {"image": INPUTS, "other": INPUTS, "label": LABELS},
            "have 'image', 'other' and the network takes values, mask; wrap it",
        ),
    ],
)
def test_batches_of_another_form(batch: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        extract(MODEL, [batch])


# --- data sets instead of loaders -----------------------------------------------------------------


class Folder(Dataset[Any]):
    """As torchvision's ImageFolder: items and ``classes``."""

    def __init__(self, names: list[str], item: Any = None) -> None:
        self.classes = names
        self.item = item

    def __len__(self) -> int:
        return len(INPUTS)

    def __getitem__(self, index: int) -> Any:
        return (INPUTS[index], int(LABELS[index])) if self.item is None else self.item(index)


def test_a_data_set_is_batched_and_names_its_classes() -> None:
    found = extract(MODEL, Folder(["cat", "dog", "lynx"]))
    np.testing.assert_allclose(found.features, EXPECTED.features, rtol=1e-6)
    assert found.class_names == ("cat", "dog", "lynx")
    assert extract(MODEL, DataLoader(Folder(["a", "b", "c"]))).class_names == ("a", "b", "c")
    assert extract(MODEL, TensorDataset(INPUTS, LABELS)).class_names is None


def test_a_data_set_with_other_classes_than_the_network() -> None:
    with pytest.raises(InputError, match="knows 2 classes and the network 3, so its labels may be"):
        extract(MODEL, Folder(["cat", "dog"]))
    assert extract(MODEL, Folder(["cat", "dog"]), class_names=["cat", "dog", "lynx"]).class_names


def test_other_classes_than_the_network_has_are_noticed_at_the_first_batch() -> None:
    class Loader:
        dataset = Folder(["cat", "dog"])

        def __iter__(self) -> Iterator[Any]:
            yield INPUTS, LABELS
            pytest.fail("the loader was asked for another batch")

    with pytest.raises(InputError, match="knows 2 classes and the network 3"):
        extract(MODEL, Loader())
    with pytest.raises(InputError, match="There are 2 class names and 3 classes"):
        extract(MODEL, Loader(), class_names=["cat", "dog"])


def test_labels_may_be_what_the_data_set_calls_its_classes() -> None:
    names = ["cat", "dog", "lynx"]
    data = Folder(names, lambda index: (INPUTS[index], names[int(LABELS[index])]))
    found = extract(MODEL, data)
    assert found.labels.tolist() == LABELS.tolist()
    assert found.class_names == tuple(names)
    twice = Folder(["cat", "cat", "lynx"], data.item)  # which of them is meant?
    with pytest.raises(InputError, match=r"labels are strings such as '\w+'; pass class_names="):
        extract(MODEL, twice)


def test_items_that_cannot_be_batched() -> None:
    with pytest.raises(InputError, match=r"hold <class 'object'>, which is no tensor; give"):
        extract(MODEL, Folder(["a", "b", "c"], lambda index: (object(), 0)))
    with pytest.raises(InputError, match="items of the data set have different sizes"):
        extract(MODEL, Folder(["a", "b", "c"], lambda index: (torch.zeros(index + 1), 0)))


def test_an_error_of_the_data_set_is_its_own() -> None:
    def broken(index: int) -> Any:
        raise RuntimeError("no such image")

    with pytest.raises(RuntimeError, match="no such image"):
        extract(MODEL, Folder(["a", "b", "c"], broken))


def test_a_stream_of_batches() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter([(INPUTS[:5], LABELS[:5]), (INPUTS[5:], LABELS[5:])])

    np.testing.assert_allclose(extract(MODEL, Stream()).features, EXPECTED.features, rtol=1e-6)


# --- the whole rescue from loaders ----------------------------------------------------------------


def test_rescue_of_a_network_and_its_loaders() -> None:
    train = DataLoader(TensorDataset(INPUTS.repeat(4, 1), LABELS.repeat(4)), batch_size=16)
    val, test = [(INPUTS + 0.1, LABELS)], [{"values": INPUTS - 0.1, "labels": LABELS}]
    found = rescue(model=MODEL, train=train, val=val, test=test)
    parts = [extract(MODEL, loader) for loader in (train, val, test)]
    same = rescue(parts[0], val=parts[1], test=parts[2])
    assert found.verdict == same.verdict
    assert np.array_equal(found.retrained.weight, same.retrained.weight)
    assert set(found.evaluations) == {"old", "retrained", "ensemble"}
    assert found.evaluations["old"].support.sum() == 12
    assert isinstance(found.to_module(MODEL, "retrained"), Named)


def test_rescue_passes_on_where_labels_and_head_are() -> None:
    batch = {"values": INPUTS, "kind": LABELS}
    found = rescue([batch], model=MODEL, label_key="kind", head="classifier")
    assert np.array_equal(found.old.weight, EXPECTED.head.weight)  # type: ignore[union-attr]


def test_single_samples() -> None:
    with pytest.raises(InputError, match="if the loader yields single samples, batch them"):
        extract(MODEL, [{"values": INPUTS[0], "labels": LABELS[0]}])


def test_several_splits_at_once() -> None:
    splits = {"train": SimpleNamespace(column_names=["img", "label"])}
    with pytest.raises(InputError, match=r"several splits; pass one of them: data\['train'\]"):
        extract(MODEL, splits)


def test_a_loader_without_a_network() -> None:
    with pytest.raises(
        InputTypeError, match=r"training images came as a list, not as Features; pass"
    ):
        rescue([(INPUTS, LABELS)])
    with pytest.raises(InputTypeError, match="The test set came as a list"):
        rescue(EXPECTED, test=[(INPUTS, LABELS)])
