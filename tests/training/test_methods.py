"""The contract of every method: nothing to register, and nothing that differs between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

import everyclass.methods
from everyclass import ClassCounts, DataConfig, Predictions, Run, get_method
from everyclass.errors import InputError
from everyclass.methods import method_names
from everyclass.stages import load_network
from everyclass.training import Recipe, load_checkpoint

METHODS = method_names()


def test_every_file_is_a_method() -> None:
    folder = Path(everyclass.methods.__file__).parent
    files = {p.stem.replace("_", "-") for p in folder.glob("*.py") if p.stem != "__init__"}
    assert set(METHODS) == files
    assert "ce" in METHODS


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_says_what_it_is(name: str) -> None:
    recipe = get_method(name)
    assert isinstance(recipe, Recipe)
    assert recipe.name == name
    assert recipe.summary
    assert recipe.source
    assert "\n" not in recipe.summary


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_is_plain_json_and_says_every_constant(name: str) -> None:
    recipe = get_method(name)
    values = recipe.to_dict()
    assert json.loads(json.dumps(values)) == values
    constants = set(asdict(recipe)) - {"loss", "summary", "source"}
    assert set(values) == constants
    assert values["schedule"]["epochs"] == recipe.schedule.epochs


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_takes_logits_and_labels(name: str) -> None:
    loss = get_method(name).loss(ClassCounts([50, 10, 3]))
    logits = torch.randn(8, 3, requires_grad=True)
    value = loss(logits, torch.tensor([0, 0, 0, 1, 1, 2, 0, 1]))
    assert value.shape == ()
    value.backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_resumes_and_predicts(
    name: str,
    train_digits: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = get_method(name)
    whole = train_digits(12, recipe=recipe, out=tmp_path / "whole")
    assert whole.result is not None
    assert whole.result["test"]["accuracy"] > 0.3  # chance: 0.1

    log = Run.log

    def stopping(run: Run, record: dict[str, int]) -> None:
        if record["epoch"] == 7:
            raise KeyboardInterrupt
        log(run, record)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_digits(12, recipe=recipe, out=tmp_path / "stopped")
    resumed = train_digits(12, recipe=recipe, out=tmp_path / "stopped")
    states = [load_checkpoint(run.checkpoint)["model"] for run in (whole, resumed)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])

    said = Predictions.load(resumed.folder / "predictions.npz")
    assert said.logits is not None
    assert said.logits.shape == (500, 10)
    images = torch.zeros(2, 3, 8, 8)
    assert load_network(resumed, 10)(images).shape == (2, 10)
    assert resumed.config["data"] == DataConfig("digits-lt", 20).to_dict()


def test_an_unknown_method_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no method 'cee'; there are .*Did you mean 'ce'\?"):
        get_method("cee")


@pytest.mark.parametrize("name", ["", "__init__", "os", "../ce", "ce.x"])
def test_only_files_of_this_folder_are_imported(name: str) -> None:
    with pytest.raises(InputError, match="There is no method"):
        get_method(name)
