"""The training loop against a slow one, and what happens when a training goes wrong."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from everyclass import DataConfig, Run, get_method, load_dataset
from everyclass.data import (
    BatchAugmentation,
    ClassAware,
    MemorySource,
    Mixed,
    RowSampler,
    get_augmentation,
)
from everyclass.errors import FileFormatError, RunFailedError
from everyclass.losses import DeferredLoss
from everyclass.nn import Classifier, build_classifier
from everyclass.processes import generator_of
from everyclass.training import (
    EpochLog,
    Schedule,
    SgdSettings,
    Supervised,
    fit,
    keep_large_buffers,
    load_checkpoint,
    save_checkpoint,
)

CPU = torch.device("cpu")
SCHEDULE = Schedule(epochs=4, learning_rate=0.05, warmup_epochs=2, milestones=(0.75,))
SETTINGS = SgdSettings(schedule=SCHEDULE, batch_size=10, momentum=0.8, weight_decay=1e-3)
SEED = 5


class Recorder:
    """Stands in for the augmentation: a random brightness, and a list of what was asked for."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.asked: list[list[int]] = []

    def augmented(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        self.asked.append(rows.tolist())
        return self.images[rows] + torch.rand(len(rows), 1, 1, 1, generator=generator)


def a_problem() -> tuple[Recorder, Tensor, nn.Module]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (34,), generator=generator)
    images = torch.randn(34, 3, 8, 8, generator=generator) + labels[:, None, None, None]
    return Recorder(images), labels, build_classifier("mlp", 3, seed=1)


def slow_training(images: Recorder, labels: Tensor, model: nn.Module) -> list[float]:
    """SGD with momentum and weight decay, written out; the loss of each epoch."""
    rates = [0.025, 0.05, 0.05, 0.0005]  # two of warm-up, then × 0.01 after 3 of 4 epochs
    generator = torch.Generator().manual_seed(SEED)
    speed = [torch.zeros_like(p) for p in model.parameters()]
    losses = []
    for rate in rates:
        order = torch.randperm(34, generator=generator)
        total = 0.0
        for start in range(0, 34, 10):
            rows = order[start : start + 10]
            logits = model(images.augmented(rows, generator))
            p = logits.softmax(dim=1)[torch.arange(len(rows)), labels[rows]]
            loss = -p.log().mean()
            total += loss.item() * len(rows)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for w, v, g in zip(model.parameters(), speed, gradients, strict=True):
                    v.mul_(0.8).add_(g + 1e-3 * w)
                    w.sub_(rate * v)
        losses.append(total / 34)
    return losses


def run_fit(settings: SgdSettings = SETTINGS, **options: Any) -> tuple[nn.Module, Recorder]:
    images, labels, model = a_problem()
    loss = options.pop("loss", nn.CrossEntropyLoss())
    learner = Supervised(model, loss, mixing=options.pop("mixing", None))  # type: ignore[arg-type]
    options = {"seed": SEED, **options}
    fit(learner, [images], labels, settings, device=CPU, **options)  # type: ignore[list-item]
    return model, images


def test_weights_and_losses_equal_a_slow_training() -> None:
    logs: list[EpochLog] = []
    model, images = run_fit(on_epoch=logs.append)
    slow_images, labels, slow = a_problem()
    losses = slow_training(slow_images, labels, slow)
    assert images.asked == slow_images.asked
    assert [log.loss for log in logs] == pytest.approx(losses, rel=1e-4)
    for a, b in zip(model.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_log_says_what_happened() -> None:
    logs: list[EpochLog] = []
    model, _ = run_fit(on_epoch=logs.append)
    assert [log.epoch for log in logs] == [1, 2, 3, 4]
    assert [log.learning_rate for log in logs] == pytest.approx([0.025, 0.05, 0.05, 0.0005])
    assert all(0 <= log.accuracy <= 1 and log.seconds > 0 for log in logs)
    assert logs[-1].accuracy > logs[0].accuracy
    assert not model.training


def test_every_image_is_used_once_in_every_epoch() -> None:
    _, images = run_fit()
    for epoch in range(4):
        batches = images.asked[4 * epoch : 4 * epoch + 4]
        assert [len(b) for b in batches] == [10, 10, 10, 4]
        assert sorted(row for batch in batches for row in batch) == list(range(34))
    assert images.asked[:4] != images.asked[4:8]


def test_what_is_trained_and_how_fast_goes_by_name() -> None:
    _, _, before = a_problem()
    names = [name for name, _ in before.named_parameters()]
    first = names[0].rpartition(".")[0]
    trained = {"head": 1.0, "head.bias": 0.5, first: 0.0}
    once = replace(SETTINGS, schedule=Schedule(epochs=1, warmup_epochs=0), trained=trained)
    model, _ = run_fit(once)
    moved = {
        name
        for (name, a), b in zip(model.named_parameters(), before.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert moved == {"head.weight", "head.bias"}
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"head.weight", "head.bias", f"{first}.weight", f"{first}.bias"}


def test_a_factor_scales_the_learning_rate() -> None:
    schedule = Schedule(epochs=1, learning_rate=0.05, warmup_epochs=0)
    plain = replace(SETTINGS, schedule=schedule, momentum=0.0)
    half = replace(plain, schedule=replace(schedule, learning_rate=0.1), trained={"": 0.5})
    for a, b in zip(run_fit(plain)[0].parameters(), run_fit(half)[0].parameters(), strict=True):
        torch.testing.assert_close(a, b)


class HeadsFirst(RowSampler):
    """The first rows only, in order."""

    def draw(self, generator: torch.Generator, epoch: int, epochs: int) -> Tensor:
        return torch.arange(self.num_samples)


def test_a_sampler_says_which_images_an_epoch_shows() -> None:
    logs: list[EpochLog] = []
    _, images = run_fit(sampler=HeadsFirst(torch.zeros(34).long(), num_samples=12))
    assert images.asked == [list(range(10)), [10, 11]] * 4
    run_fit(sampler=ClassAware(a_problem()[1]), on_epoch=logs.append)
    assert all(0 <= log.accuracy <= 1 for log in logs)


def test_mixing_changes_images_and_loss() -> None:
    class Halves:
        """Every image half itself, half the first of its batch."""

        def __call__(self, images: Tensor, labels: Tensor, _: torch.Generator) -> Mixed:
            return Mixed((images + images[:1]) / 2, labels, labels[:1].expand(len(labels)), 0.5)

    once = replace(SETTINGS, schedule=Schedule(epochs=1, warmup_epochs=0), batch_size=34)
    logs: list[EpochLog] = []
    run_fit(once, mixing=Halves(), on_epoch=logs.append)
    images, labels, model = a_problem()
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.randperm(34, generator=generator)
    batch = images.augmented(rows, generator)
    logits = model((batch + batch[:1]) / 2)
    loss = nn.functional.cross_entropy
    first = labels[rows[:1]].expand(34)
    expected = (loss(logits, labels[rows]) + loss(logits, first)) / 2
    assert logs[0].loss == pytest.approx(expected.item(), rel=1e-5)


def test_a_deferred_loss_is_told_each_epoch() -> None:
    logs: list[EpochLog] = []

    class Hundred(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            return 100 + 0 * logits.sum()

    run_fit(loss=DeferredLoss(nn.CrossEntropyLoss(), Hundred(), start=0.5), on_epoch=logs.append)
    assert [log.loss > 99 for log in logs] == [False, False, True, True]


def test_a_seed_names_a_training() -> None:
    weights = [run_fit(seed=s)[0].state_dict() for s in (5, 5, 6)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert not all(torch.equal(weights[0][k], weights[2][k]) for k in weights[0])


class Dropping(nn.Module):
    """A network that draws from torch's global generator in every step, as dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.network = a_problem()[2]

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(self.network(images), 0.5, self.training)


def fit_dropping(settings: SgdSettings = SETTINGS, **options: Any) -> dict[str, Tensor]:
    images, labels, _ = a_problem()
    learner = Supervised(Dropping(), nn.CrossEntropyLoss())  # type: ignore[arg-type]
    options = {"seed": SEED, **options}
    fit(learner, [images], labels, settings, device=CPU, **options)  # type: ignore[list-item]
    return learner.model.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_seed_names_what_a_network_draws_too() -> None:
    weights = []
    for seed in (5, 5, 6, -1):
        torch.randn(3)  # whatever the caller has drawn before
        weights.append(fit_dropping(seed=seed))
    assert same(weights[0], weights[1])
    assert not same(weights[0], weights[2])


def test_every_epoch_draws_anew_and_not_what_the_images_are_drawn_by() -> None:
    seeds: list[int] = []
    fit_dropping(on_epoch=lambda _: seeds.append(torch.initial_seed()))
    again: list[int] = []
    repeating = replace(SETTINGS, repeat_after=2)
    fit_dropping(repeating, on_epoch=lambda _: again.append(torch.initial_seed()))
    assert seeds == again
    assert len(set(seeds)) == 4
    images = {generator_of(SEED, epoch).initial_seed() for epoch in range(1, 5)}
    assert not images & set(seeds)


@pytest.mark.parametrize("fails", [False, True])
def test_the_callers_generator_is_left_alone(fails: bool) -> None:
    def fail(log: EpochLog) -> None:
        if fails:
            raise Stop

    torch.manual_seed(11)
    before = torch.get_rng_state()
    with pytest.raises(Stop) if fails else nullcontext():
        fit_dropping(on_epoch=fail)
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_counts_the_images() -> None:
    seen: list[Any] = []

    class Task:
        def advance(self, amount: int, note: str = "") -> None:
            seen.append((amount, note))

    @contextmanager
    def show(title: str, total: int, unit: str, done: int = 0) -> Iterator[Task]:
        seen.append((title, total, unit, done))
        yield Task()

    run_fit(show=show)
    assert seen[0] == ("training", 136, "images", 0)
    assert sum(amount for amount, _ in seen[1:]) == 136
    assert seen[-1][1] == "epoch 4/4"


def test_bf16_keeps_weights_in_float32() -> None:
    model, _ = run_fit(precision="bf16")
    assert all(p.dtype == torch.float32 for p in model.parameters())
    exact, _ = run_fit()
    for a, b in zip(model.parameters(), exact.parameters(), strict=True):
        assert 0 < (a - b).norm() < 0.05 * b.norm()


# --- compiling ------------------------------------------------------------------------------------


def test_without_a_compiler_training_goes_on_with_a_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_compiler(function: Any) -> Any:
        def compiled(*_: Any) -> Any:
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\n\nand so on")

        return compiled

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.warns(UserWarning, match=r"No working C\+\+ compiler found\).*install"):
        model, _ = run_fit(compile=True)
    plain, _ = run_fit()
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


def test_where_there_is_a_compiler_the_backbone_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[Any] = []

    def compiler(function: Any) -> Any:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compiler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, _ = run_fit(compile=True)
    assert isinstance(model, Classifier)
    assert compiled[-1].__self__ is model.backbone  # which every learner calls


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own parts
def test_the_compiled_network_learns_the_same() -> None:
    model, _ = run_fit(compile=True)
    plain, _ = run_fit()
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


# --- stopping and going on ------------------------------------------------------------------------


class Stop(BaseException):
    """What Ctrl-C is to the loop."""


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_stopped_training_goes_on_bit_for_bit(stop_after: int, tmp_path: Path) -> None:
    def stop(log: EpochLog) -> None:
        if log.epoch == stop_after + 1:  # in the middle of the next epoch, so to say
            raise Stop

    undisturbed, _ = run_fit()
    checkpoint = tmp_path / "c"
    with pytest.raises(Stop):
        run_fit(checkpoint=checkpoint, on_epoch=stop)
    assert load_checkpoint(checkpoint)["epoch"] == stop_after
    epochs: list[int] = []
    resumed, _ = run_fit(checkpoint=checkpoint, on_epoch=lambda log: epochs.append(log.epoch))
    assert epochs == list(range(stop_after + 1, 5))
    for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_stopped_training_with_dropout_goes_on_bit_for_bit(
    stop_after: int, tmp_path: Path
) -> None:
    def stop(log: EpochLog) -> None:
        if log.epoch == stop_after + 1:
            raise Stop

    undisturbed = fit_dropping()
    with pytest.raises(Stop):
        fit_dropping(checkpoint=tmp_path / "c", on_epoch=stop)
    torch.randn(3)  # another process has another state
    assert same(fit_dropping(checkpoint=tmp_path / "c"), undisturbed)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "c"
    run_fit(checkpoint=checkpoint)
    state = load_checkpoint(checkpoint)
    other = build_classifier("mlp", 4, seed=0).state_dict()
    for foreign in ({**state, "model": other}, {"epoch": 2}, {**state, "epoch": "two"}):
        save_checkpoint(checkpoint, foreign)
        before = checkpoint.read_bytes()
        with pytest.raises(FileFormatError, match="not a checkpoint of this training; remove it"):
            run_fit(checkpoint=checkpoint)
        assert checkpoint.read_bytes() == before


# --- diverging ------------------------------------------------------------------------------------


def test_a_diverging_run_fails_and_keeps_its_last_good_checkpoint(
    train_digits: Callable[..., Run], tmp_path: Path
) -> None:
    schedule = Schedule(epochs=6, warmup_epochs=0, milestones=(0.5,), step_factor=1e30)
    recipe = replace(get_method("ce"), schedule=schedule)  # a huge rate from epoch 4 on
    for _ in range(2):  # and once more: nothing has been hidden by the first failure
        with pytest.raises(RunFailedError, match=r"loss became (nan|inf) in epoch 4; lower the"):
            train_digits(6, recipe=recipe)
        state = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
        assert state["epoch"] == 3
        assert all(w.isfinite().all() for w in state["model"].values())
        log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3]
        assert Run.open(tmp_path / "run").result is None


# --- images that cannot be read -------------------------------------------------------------------


class HalfRead(MemorySource):
    """Of every batch only the first few images can be read."""

    def __init__(self, views: Any, readable: list[int]) -> None:
        super().__init__(views)
        self.readable = readable

    def augmented(
        self, batches: Any, generator: torch.Generator, *, none_is_fine: bool = False
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        read = [rows[: self.readable[i % len(self.readable)]] for i, rows in enumerate(batches)]
        return super().augmented(read, generator, none_is_fine=none_is_fine)


@pytest.mark.parametrize("few", [0, 1])
def test_a_batch_of_which_too_little_could_be_read_is_no_step(few: int) -> None:
    """One image alone has no batch statistics: that step is left out, and the epoch goes on."""
    logs: list[EpochLog] = []
    steps: list[int] = []

    class Counted(Supervised):
        def forward(self, views: Any, labels: Tensor, generator: torch.Generator) -> Any:
            steps.append(len(labels))
            return super().forward(views, labels, generator)

    images, labels, model = a_problem()
    source = HalfRead([images], [10, few, 2, 10])
    learner = Counted(model, nn.CrossEntropyLoss())  # type: ignore[arg-type]
    fit(learner, source, labels, SETTINGS, device=CPU, on_epoch=logs.append)
    assert steps == [10, 2, 4] * 4
    assert all(torch.isfinite(torch.tensor(log.loss)) for log in logs)


# --- the allocator --------------------------------------------------------------------------------


def test_the_loop_keeps_large_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    monkeypatch.setattr("everyclass.training.loop.keep_large_buffers", lambda: calls.append(True))
    run_fit()
    assert calls == [True]


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert keep_large_buffers() is False


def test_an_old_glibc_gets_the_largest_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[int, int] = {}

    class OldGlibc:
        @staticmethod
        def mallopt(parameter: int, value: int) -> int:
            if parameter == -3 and value > 32 << 20:  # M_MMAP_THRESHOLD
                return 0
            taken[parameter] = value
            return 1

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("everyclass.training.allocator.ctypes.CDLL", lambda _: OldGlibc)
    assert keep_large_buffers() is True
    assert taken == {-3: 32 << 20, -1: 1 << 30}


def test_no_glibc_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everyclass.training.allocator.ctypes.CDLL", lambda _: object())
    assert keep_large_buffers() is False


# --- on real images -------------------------------------------------------------------------------


def test_a_few_epochs_learn_the_digits() -> None:
    digits = load_dataset(DataConfig("digits-lt", imbalance_ratio=5))
    images = BatchAugmentation(
        torch.from_numpy(digits.train.images),
        transforms=get_augmentation("basic", crop_padding=digits.crop_padding, flip=digits.flip),
        mean=digits.mean,
        std=digits.std,
        device=CPU,
    )
    logs: list[EpochLog] = []
    settings = SgdSettings(schedule=Schedule(epochs=12), batch_size=64)
    model = build_classifier("mlp", 10, seed=0)
    labels = torch.from_numpy(digits.train.labels)
    learner = Supervised(model, nn.CrossEntropyLoss())
    fit(learner, [images], labels, settings, device=CPU, on_epoch=logs.append)
    assert logs[-1].accuracy > 0.7
    assert logs[-1].loss < logs[0].loss / 2
