"""Features in front of the last layer, which is found by what it does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from everyclass import extract
from everyclass.data import BatchAugmentation, MemorySource
from everyclass.data.augmentation import CropAndFlip
from everyclass.errors import InputError, InputTypeError
from everyclass.nn import Classifier, CosineHead, build_classifier
from everyclass.stages import extract_views

IMAGES = torch.randn(14, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(14) % 5


def loader(batch: int = 4) -> DataLoader[Any]:
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=batch)


class Block(nn.Module):
    """A residual block as torchvision has them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return (self.bn1(self.conv1(x)) + x).relu()


class ResNet(nn.Module):
    """A torchvision-like network: ``fc`` at the end, flattened by hand."""

    def __init__(self, fc: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.layer1 = nn.Sequential(Block(6), Block(6))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = fc

    def features(self, x: Tensor) -> Tensor:
        return torch.flatten(self.avgpool(self.layer1(self.conv1(x))), 1)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x))


class WithAttention(ResNet):
    """Linear layers inside that have the shape of the last one, and one that is never called."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 5))
        self.gate = nn.Linear(6, 5)
        self.back = nn.Linear(5, 6)
        self.unused = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Any:
        f = self.features(x)
        return self.fc(f * self.back(self.gate(f)).sigmoid())


def sequential() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 5))


MODELS = {
    "sequential": (sequential, "3"),
    "resnet": (lambda: ResNet(nn.Linear(6, 5)), "fc"),
    "no bias": (lambda: ResNet(nn.Linear(6, 5, bias=False)), "fc"),
    "cosine": (lambda: ResNet(CosineHead(6, 5)), "fc"),
    "nested": (lambda: nn.Sequential(nn.Sequential(ResNet(nn.Linear(6, 5)))), "0.0.fc"),
    "in a head": (lambda: ResNet(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 5))), "fc.1"),
    "gated": (WithAttention, "fc"),
    "own": (lambda: build_classifier("mlp", 5, seed=0), "head"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_head_on_the_features_is_the_network(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name][0]()
    found = extract(model, loader())
    assert found.head is not None
    with torch.no_grad():
        expected = model.eval()(IMAGES)
    np.testing.assert_allclose(found.head.logits(found.features), expected, rtol=1e-4, atol=1e-5)
    assert found.labels.tolist() == LABELS.tolist()
    assert found.features.dtype == np.float32
    layer = model.get_submodule(MODELS[name][1])
    assert np.array_equal(found.head.weight, layer.weight.detach())
    assert found.head.kind == ("cosine" if name == "cosine" else "linear")


@pytest.mark.parametrize("name", MODELS)
def test_the_head_may_be_named(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name][0]()
    by_name = extract(model, loader(), head=MODELS[name][1])
    assert np.array_equal(by_name.features, extract(model, loader()).features)


def test_class_names_and_any_iterable() -> None:
    names = ["a", "b", "c", "d", "e"]
    pairs = ((IMAGES[i : i + 3], LABELS[i : i + 3].tolist()) for i in range(0, 14, 3))
    found = extract(sequential(), pairs, class_names=names)
    assert found.class_names == tuple(names)
    assert found.labels.tolist() == LABELS.tolist()


def test_batches_do_not_matter() -> None:
    torch.manual_seed(0)
    model = ResNet(nn.Linear(6, 5))
    one, many = extract(model, loader(14)), extract(model, loader(1))
    np.testing.assert_allclose(one.features, many.features, rtol=1e-4, atol=1e-6)


def test_labels_of_other_integer_types() -> None:
    batches = [(IMAGES, LABELS.to(torch.uint8))]
    assert extract(sequential(), batches).labels.tolist() == LABELS.tolist()


# --- what it leaves as it was ---------------------------------------------------------------------


def test_modes_are_as_before_and_statistics_untouched() -> None:
    model = ResNet(nn.Linear(6, 5)).train()
    model.layer1[0].bn1.eval()  # frozen by its owner
    modes = {name: m.training for name, m in model.named_modules()}
    state = {k: v.clone() for k, v in model.state_dict().items()}
    extract(model, loader())
    assert {name: m.training for name, m in model.named_modules()} == modes
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_hooks_are_gone_even_after_an_error() -> None:
    def broken() -> Iterator[tuple[Tensor, Tensor]]:
        yield IMAGES[:2], LABELS[:2]
        raise OSError("the disk is gone")

    model = ResNet(nn.Linear(6, 5)).train()
    with pytest.raises(OSError, match="the disk is gone"):  # which is not hidden
        extract(model, broken())
    assert not any(m._forward_hooks for m in model.modules())
    assert model.training
    extract(model, loader())
    assert not any(m._forward_hooks for m in model.modules())


def test_inner_layers_are_not_kept() -> None:
    """A transformer's layers see every token; keeping them all would fill the memory."""
    kept: list[int] = []

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 5)
            self.fc = nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(1, 2)
            inner = self.inner(tokens)
            kept.append(sys.getrefcount(tokens))
            out: Tensor = self.fc(inner.mean(dim=1))
            return out

    extract(Tokens(), loader())
    assert set(kept) == {2}  # the local variable and getrefcount's own


# --- what it refuses ------------------------------------------------------------------------------


class Changed(ResNet):
    """Does something to its last layer's output."""

    def __init__(self, change: Any) -> None:
        super().__init__(nn.Linear(6, 5))
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.fc(self.features(x)))


@pytest.mark.parametrize(
    "change",
    [
        lambda out: out.softmax(dim=1),
        lambda out: out / 2,
        lambda out: out[:, :3],
        nn.ReLU(inplace=True),  # the layer's output itself is overwritten
        lambda out: out.mul_(3),
    ],
    ids=["softmax", "scaled", "cut", "in place", "scaled in place"],
)
def test_an_output_that_is_not_the_heads(change: Any) -> None:
    torch.manual_seed(0)
    for head in (None, "fc"):
        with pytest.raises(InputError, match="output is not the output of"):
            extract(Changed(change), loader(), head=head)


def test_an_output_that_was_only_widened_is_the_heads() -> None:
    found = extract(Changed(lambda out: out.double()), loader())
    assert found.features.shape == (14, 6)


@pytest.mark.parametrize(
    "wrapped", [lambda out: {"scores": out}, lambda out: (out, out), lambda out: {"logits": [1]}]
)
def test_an_output_that_is_no_tensor(wrapped: Any) -> None:
    with pytest.raises(
        InputError, match=r"returns (dict|tuple) and must return a tensor of logits"
    ):
        extract(Changed(wrapped), loader())


@pytest.mark.parametrize(
    "wrapped", [lambda out: {"logits": out}, lambda out: SimpleNamespace(logits=out)]
)
def test_logits_may_be_called_so(wrapped: Any) -> None:
    model = Changed(wrapped)
    assert extract(model, loader()).features.shape == (14, 6)


def test_of_several_heads_one_is_named() -> None:
    class TwoHeads(ResNet):
        def forward(self, x: Tensor) -> Any:
            f = self.features(x)
            return self.fc(f), self.side(f)

    torch.manual_seed(0)
    model = TwoHeads(nn.Linear(6, 5))
    model.side = nn.Linear(6, 2)
    with pytest.raises(InputError, match=r"returns tuple .* or name the layer whose output they"):
        extract(model, loader())
    found = extract(model, loader(), head="fc")
    assert found.head is not None
    np.testing.assert_allclose(
        found.head.logits(found.features), model.eval()(IMAGES)[0].detach(), atol=1e-5
    )


def test_a_name_does_not_help_where_the_output_is_changed() -> None:
    with pytest.raises(InputError, match="is not the output of the layer 'fc'; pass the part of"):
        extract(Changed(lambda out: out.relu() + 1), loader(), head="fc")


def test_one_output_for_two_classes() -> None:
    with pytest.raises(InputError, match="one number per sample, as for binary cross entropy"):
        extract(nn.Sequential(nn.Flatten(), nn.Linear(192, 1)), loader())


def test_an_output_that_is_not_finite() -> None:
    with pytest.raises(InputError, match="output on the first batch is not finite"):
        extract(Changed(lambda out: out / 0), loader())


def test_a_scaled_output_is_said_to_be_scaled() -> None:
    torch.manual_seed(0)
    with pytest.raises(InputError, match=r"but 0\.5 times that of 'fc'; leave the scaling out"):
        extract(Changed(lambda out: out / 2), loader())


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_probabilities_are_said_to_be_probabilities(function: Any) -> None:
    torch.manual_seed(0)
    with pytest.raises(InputError, match=rf"but the {function.__name__} of that of 'fc'; leave it"):
        extract(Changed(lambda out: function(out, dim=1)), loader())


def test_a_network_that_changes_its_mind() -> None:
    class Fickle(ResNet):
        def forward(self, x: Tensor) -> Any:
            out = self.fc(self.features(x))
            return out if len(x) == 4 else out.relu()

    torch.manual_seed(0)
    with pytest.raises(InputError, match="In a later batch the network's output is not that of"):
        extract(Fickle(nn.Linear(6, 5)), loader())


def test_an_output_per_pixel() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Flatten(2), nn.Linear(64, 10))
    with pytest.raises(InputError, match=r"shape \(4, 5, 10\); one row of logits per image"):
        extract(model, loader())


def test_a_network_without_a_last_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten())
    with pytest.raises(InputError, match="not the output of any linear or cosine layer"):
        extract(model, loader())


def test_a_head_of_another_name_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no linear or cosine layer 'classifier'; it has fc\."):
        extract(ResNet(nn.Linear(6, 5)), loader(), head="classifier")


def test_a_wrong_head_is_not_believed() -> None:
    with pytest.raises(InputError, match="not the output of the layer 'gate'"):
        extract(WithAttention(), loader(), head="gate")


def test_an_empty_loader() -> None:
    with pytest.raises(InputError, match="yields no batch"):
        extract(sequential(), [])


def test_labels_that_are_no_classes() -> None:
    with pytest.raises(InputTypeError, match="labels must be integers"):
        extract(sequential(), [(IMAGES, LABELS.float())])
    with pytest.raises(InputError, match=r"labels\[0\] is 9, outside 0..4"):
        extract(sequential(), [(IMAGES, LABELS + 9)])


def test_features_that_are_not_finite() -> None:
    images = IMAGES.clone()
    images[3] = float("nan")
    torch.manual_seed(0)
    with pytest.raises(InputError):
        extract(sequential(), [(IMAGES, LABELS), (images, LABELS)])


# --- views ----------------------------------------------------------------------------------------


def view_problem() -> tuple[Classifier, BatchAugmentation, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (14, 8, 8, 3), generator=generator, dtype=torch.uint8)
    images = BatchAugmentation(
        pixels,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        transforms=[CropAndFlip(padding=1, flip=True)],
        device=torch.device("cpu"),
    )
    return build_classifier("mlp", 5, seed=0), images, LABELS


def views_of(problem: Any, num_views: int, **options: Any) -> Any:
    model, images, labels = problem
    return extract_views(
        model,
        MemorySource([images]),
        labels,
        num_views=num_views,
        device=torch.device("cpu"),
        precision="fp32",
        class_names=list("abcde"),
        **options,
    )


def test_the_first_view_is_plain_and_the_others_are_not() -> None:
    problem = view_problem()
    model, images, _ = problem
    found = views_of(problem, 3)
    assert found.features.shape == (3, 14, 64)
    with torch.no_grad():
        plain = model.backbone(images.plain(torch.arange(14)))
    np.testing.assert_allclose(found.features[0], plain, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found.features[1], found.features[0])
    assert not np.allclose(found.features[1], found.features[2])
    assert found.class_names == tuple("abcde")
    assert found.head is not None
    assert np.array_equal(found.head.weight, model.head.weight.detach())  # type: ignore[union-attr]


def test_one_view_has_no_axis_for_views() -> None:
    assert views_of(view_problem(), 1).features.shape == (14, 64)


def test_views_follow_the_seed_and_not_the_batch_size() -> None:
    problem = view_problem()
    one, same, other = (views_of(problem, 2, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.features, same.features)
    assert np.array_equal(one.features[0], other.features[0])
    assert not np.array_equal(one.features[1], other.features[1])


def test_progress_is_shown_where_the_loader_has_a_length() -> None:
    seen: list[tuple[int, str, int]] = []

    @contextmanager
    def show(title: str, total: int, unit: str, done: int = 0) -> Iterator[Any]:
        count = SimpleNamespace(done=done)

        def advance(amount: int, note: str = "") -> None:
            count.done += amount

        yield SimpleNamespace(advance=advance)
        seen.append((total, unit, count.done))

    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    for given in (loader(4), TensorDataset(IMAGES, LABELS), (batch for batch in loader(4))):
        extract(model, given, show=show)
    assert seen == [(4, "batches", 4), (1, "batches", 1)]  # of the last one nobody knows it
