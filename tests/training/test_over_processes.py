"""Training in several processes: the same network as one process makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from everyclass import DataConfig, Run, get_method, pretrain
from everyclass.artifacts import plain_json
from everyclass.data import BatchAugmentation
from everyclass.errors import InputError
from everyclass.losses import GMLLoss
from everyclass.metrics import EvaluationState, evaluate
from everyclass.nn import build_classifier
from everyclass.stages import merged_over_processes
from everyclass.training import Schedule, SgdSettings, Supervised, fit

DIGITS = DataConfig("digits-lt", imbalance_ratio=20)
SETTINGS = SgdSettings(
    schedule=Schedule(epochs=3, learning_rate=0.05, warmup_epochs=1), batch_size=30
)


def train(
    loss: nn.Module, checkpoint: Path | None, epochs: int = 3, batch_size: int = 30
) -> tuple[Any, list[float]]:
    """A perceptron, which has no batch norm, on images that are not augmented."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (131,), generator=generator)
    pixels = torch.randint(0, 200, (131, 8, 8, 3), generator=generator) + 20 * labels.view(
        -1, 1, 1, 1
    )
    images = BatchAugmentation(
        pixels.to(torch.uint8),
        transforms=[],
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        device=torch.device("cpu"),
    )
    logs: list[float] = []
    model = build_classifier("mlp", 3, seed=1)
    schedule = replace(SETTINGS.schedule, epochs=epochs)
    settings = replace(SETTINGS, schedule=schedule, batch_size=batch_size)
    fit(
        Supervised(model, loss),
        [images],
        labels,
        settings,
        device=torch.device("cpu"),
        checkpoint=checkpoint,
        on_epoch=lambda log: logs.extend((log.loss, log.accuracy)),
    )
    return {name: value.numpy() for name, value in model.state_dict().items()}, logs


def _train(group: Any, loss: nn.Module, checkpoint: Path | None, epochs: int = 3) -> Any:
    return train(loss, checkpoint, epochs)


def assert_same(weights: Any, expected: Any, tolerance: float = 2e-4) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(
            weights[name], value, rtol=tolerance, atol=tolerance, err_msg=name
        )


# 131 images in batches of 30: shares of 8, 8, 7 and 7, and 11 left over.
@pytest.mark.parametrize(
    "loss", [GMLLoss([60, 40, 31]), nn.CrossEntropyLoss()], ids=["gml", "cross entropy"]
)
def test_four_processes_train_the_network_that_one_trains(processes, loss):
    expected, logs = train(loss, None)
    answers = processes.run(_train, [(loss, None)] * 4)
    for weights, their_logs in answers:
        assert_same(weights, expected)
        assert their_logs == pytest.approx(logs, rel=1e-3)
        for name, value in weights.items():
            np.testing.assert_array_equal(value, answers[0][0][name])


def test_a_checkpoint_is_gone_on_with_by_another_number_of_processes(processes, tmp_path):
    loss = GMLLoss([60, 40, 31])
    processes.run(_train, [(loss, tmp_path / "four.safetensors", 2)] * 4)
    by_one, logs = train(loss, tmp_path / "four.safetensors")
    assert len(logs) == 2  # the last epoch only
    train(loss, tmp_path / "one.safetensors", 2)
    by_four, _ = processes.run(_train, [(loss, tmp_path / "one.safetensors")] * 4)[0]
    schedule_of_two = train(loss, None, 2)[0]
    assert any(not np.array_equal(by_one[name], schedule_of_two[name]) for name in by_one)
    # Epochs 1 and 2 of 2 have another learning rate than those of 3: both went the same way.
    assert_same(by_one, by_four)


def test_whether_there_is_a_checkpoint_is_what_the_first_process_sees(processes, tmp_path):
    loss, other = nn.CrossEntropyLoss(), tmp_path / "on another disk.safetensors"
    train(loss, other, 2)
    gone = tmp_path / "gone.safetensors"
    answers = processes.run(_train, [(loss, path) for path in (gone, other, other, other)])
    for weights, logs in answers:
        assert len(logs) == 2 * 3  # loss and accuracy of every epoch
        assert_same(weights, answers[0][0], tolerance=0)


class _Draws(nn.Module):
    """A loss that draws as dropout does, and keeps what came."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[float] = []

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.drawn.append(torch.rand(()).item())
        return nn.functional.cross_entropy(logits, labels)


def _draw(group: Any) -> list[float]:
    loss = _Draws()
    train(loss, None, epochs=2)
    return loss.drawn


def test_processes_draw_differently_and_the_same_when_asked_again(processes):
    answers = processes.run(_draw, [()] * 4)
    assert len({tuple(drawn) for drawn in answers}) == 4
    assert processes.run(_draw, [()] * 4) == answers


def _refused(group: Any) -> str:
    try:
        train(nn.CrossEntropyLoss(), None, batch_size=7)
    except InputError as error:
        return str(error)
    return "nothing was said"


def test_batches_too_small_to_share_are_refused(processes):
    for said in processes.run(_refused, [()] * 4):
        assert "A batch of 7 images cannot be shared by 4 processes" in said


def _pretrain(group: Any, method: str, out: Path) -> Any:
    recipe = get_method(method)
    run = pretrain(recipe, DIGITS, epochs=1, out=out, data_root=None)
    assert run.result is not None
    return run.result["test"], run.result["processes"]


@pytest.mark.parametrize(
    "method",
    ["paco", "gpaco", "proco", "ride", "mixup", "dive", "shike-features", "ncm", "distilled"],
)
def test_every_kind_of_learner_trains_in_several_processes(processes, tmp_path, method):
    out = tmp_path / method
    answers = processes.run(_pretrain, [(method, out)] * 4)
    assert answers == [answers[0]] * 4
    assert answers[0][1] == 4
    run = Run.open(out)
    if method != "ncm":  # computes a head, in no epoch
        assert len((out / "log.jsonl").read_text().splitlines()) == 1
    assert run.result is not None
    again = pretrain(get_method(method), DIGITS, epochs=1, out=out)  # one process: it is finished
    assert again.result == run.result


# --- metrics --------------------------------------------------------------------------------------


def _judge(group: Any, labels: Any, logits: Any) -> Any:
    state = EvaluationState(class_names=["a", "b", "c"])
    if len(labels):
        state.update(labels=labels, logits=logits)
    return plain_json(merged_over_processes(state).evaluation(replicates=100).to_dict())


def test_an_evaluation_over_processes_is_that_of_all_images_once(processes):
    generator = np.random.default_rng(0)
    labels, logits = np.arange(37) % 3, generator.normal(size=(37, 3))
    cuts = [slice(0, 1), slice(1, 1), slice(1, 30), slice(30, 37)]  # uneven, and none
    answers = processes.run(_judge, [(labels[cut], logits[cut]) for cut in cuts])
    expected = evaluate(labels=labels, logits=logits, class_names=["a", "b", "c"]).summary()
    for answer in answers:
        assert answer == answers[0]
        for name, value in expected.items():
            assert answer[name] == pytest.approx(value, rel=1e-12), name
