"""The contract of every method: nothing to register, and nothing that differs between them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import everyclass.methods
from everyclass import ClassCounts, DataConfig, Predictions, Run, get_method, load_dataset, pretrain
from everyclass.data import AUGMENTATIONS
from everyclass.errors import InputError, MissingFileError
from everyclass.integrations.export import export_program
from everyclass.methods import method_names, method_notes
from everyclass.nn import HEADS
from everyclass.stages import Retraining, load_network, rescue_run
from everyclass.stages.pretraining.building import learner_of
from everyclass.training import (
    HeadRecipe,
    Recipe,
    Schedule,
    Supervised,
    load_checkpoint,
    modern,
)
from few_penalties import few_penalties

METHODS = method_names()
TRAINED = [name for name in METHODS if isinstance(get_method(name), Recipe)]
LATER = {
    "repeat_after",
    "begin_after",
    "weights",
    "other_views",
    "nesterov",
    "teachers",
    "retraining",
    "file_fingerprint",
}  # are left out where they say nothing
STRONG = {"distilled", "distilled-again", "gpaco", "paco", "proco", "shike", "shike-features"}
PLAIN = [name for name in METHODS if name not in STRONG]
DIGITS = DataConfig("digits-lt", imbalance_ratio=20)


def test_every_file_is_a_method() -> None:
    folder = Path(everyclass.methods.__file__).parent
    files = {p.stem.replace("_", "-") for p in folder.glob("*.py") if p.stem != "__init__"}
    assert set(METHODS) == files
    assert "ce" in METHODS


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_says_what_it_is(name: str) -> None:
    recipe = get_method(name)
    assert isinstance(recipe, Recipe | HeadRecipe)
    assert recipe.name == name
    assert recipe.summary
    assert recipe.source
    assert "\n" not in recipe.summary
    assert len(method_notes(name)) > 100  # the lab note


@pytest.mark.parametrize("name", [*METHODS, *(f"{name}-modern" for name in PLAIN)])
def test_a_recipe_is_plain_json_and_says_every_constant(name: str) -> None:
    recipe = get_method(name)
    values = recipe.to_dict()
    assert json.loads(json.dumps(values)) == values
    told = recipe.to_dict(ClassCounts([50, 10, 3]))
    assert json.loads(json.dumps(told)) == told
    assert set(told) - set(values) == (
        {"fit"} if isinstance(recipe, HeadRecipe) else {"loss", "loss_values", "learner"}
    )
    if isinstance(recipe, Recipe):
        constants = {f.name for f in fields(recipe)} - {"loss", "learner", "summary", "source"}
        assert constants - LATER <= set(values) <= constants
        defaults = get_method("ce")
        for name in constants - set(values):
            assert getattr(recipe, name) == getattr(defaults, name)
        assert values["schedule"]["epochs"] == recipe.schedule.epochs
        assert recipe.augmentation in AUGMENTATIONS
    assert values["head"] in HEADS


@pytest.mark.parametrize("name", [n for n in TRAINED if get_method(n).learner is Supervised])
def test_a_loss_takes_logits_and_labels(name: str) -> None:
    recipe = get_method(name)
    assert isinstance(recipe, Recipe)
    loss = recipe.loss(ClassCounts([50, 10, 3]))
    logits = torch.randn(8, 3, requires_grad=True)
    value = loss(logits, torch.tensor([0, 0, 0, 1, 1, 2, 0, 1]))
    assert value.shape == ()
    value.backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with few_penalties():
        yield


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A short run of each method that others begin with or learn from."""
    folder = tmp_path_factory.mktemp("starts")
    made: dict[str, Run] = {}

    def make(recipe: Recipe | HeadRecipe) -> None:
        for needed in recipe.rests_on:
            if needed.name not in made:
                make(needed)
                quick, epochs = in_seconds(needed)
                begun = [made[other.name].folder for other in needed.rests_on] or None
                where = folder / needed.name
                made[needed.name] = pretrain(quick, DIGITS, epochs=epochs, start=begun, out=where)

    for name in METHODS:
        make(get_method(name))
    return made


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_resumes_predicts_and_is_rescued(
    name: str, starts: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, epochs = in_seconds(get_method(name))
    options: dict[str, Any] = {"epochs": epochs}
    if recipe.rests_on:
        options["start"] = [starts[needed.name].folder for needed in recipe.rests_on]
    whole = pretrain(recipe, DIGITS, out=tmp_path / "whole", **options)
    assert whole.result is not None
    assert whole.result["test"]["accuracy"] > 0.2  # chance: 0.1 ± 0.013

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", stopping_at(7))
        patch.setattr(Predictions, "save", interrupted)  # where nothing is logged
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe, DIGITS, out=tmp_path / "stopped", **options)
    resumed = pretrain(recipe, DIGITS, out=tmp_path / "stopped", **options)
    states = [flat(load_checkpoint(run.checkpoint)) for run in (whole, resumed)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])

    said = Predictions.load(resumed.folder / "predictions.npz")
    assert said.logits is not None
    assert said.logits.shape == (500, 10)
    network = load_network(resumed, 10)
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    assert resumed.config["data"] == DIGITS.to_dict()

    is_routed = name == "ride-assigned"
    with pytest.warns(UserWarning, match="the mean of all") if is_routed else nullcontext():
        rescued = rescue_run(resumed, num_views=2, retraining=Retraining(penalty=1e-3))
    old = Predictions.load(resumed.folder / "rescue" / "old.npz")
    if not is_routed:  # what is called the old classifier is the method's own
        np.testing.assert_allclose(old.logits, said.logits, rtol=1e-3, atol=1e-3)
    example = torch.rand(2, 3, 8, 8)
    assert rescued.to_module(network)(example).shape == (2, 10)
    export_program(network, example, tmp_path / "network.pt2")  # which compares what is read


def in_seconds(recipe: Recipe | HeadRecipe) -> tuple[Recipe | HeadRecipe, int]:
    """What is slow to learn gets more epochs, and views that are made faster.

    The rate is one that a perceptron without batch norm bears.
    """
    if isinstance(recipe, HeadRecipe) or recipe.learner is Supervised:
        return recipe, 12
    views = ("basic",) * len(recipe.other_views)
    schedule = replace(recipe.schedule, learning_rate=min(0.02, recipe.schedule.learning_rate))
    return replace(recipe, augmentation="basic", other_views=views, schedule=schedule), 40


def flat(state: dict[str, Any], place: str = "") -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint: those of the network, the optimiser, and what else learns."""
    tensors = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            tensors[f"{place}/{name}"] = value
        elif isinstance(value, dict):
            tensors |= flat(value, f"{place}/{name}")
    return tensors


def stopping_at(epoch: int) -> Callable[[Run, dict[str, int]], None]:
    log = Run.log

    def stopping(run: Run, record: dict[str, int]) -> None:
        if record["epoch"] == epoch:
            raise KeyboardInterrupt
        log(run, record)

    return stopping


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", METHODS)
def test_a_class_with_one_image_is_survived(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ratio 120: the rarest digit has a single image."""
    run = pretrain(
        get_method(name), DataConfig("digits-lt", 120), epochs=2, out=tmp_path / "runs" / name
    )
    assert run.result is not None
    assert run.result["class_counts"][-1] == 1


def test_a_second_stage_begins_with_what_is_there(starts: dict[str, Run], tmp_path: Path) -> None:
    """The backbone of the start, and where it is kept the head; the rest is not retrained."""
    old = load_checkpoint(starts["ce"].checkpoint)["model"]
    for name, kept in (("lws", {"head.weight", "head.bias"}), ("crt", set())):
        run = pretrain(
            get_method(name), DIGITS, epochs=1, out=tmp_path / name, start=starts["ce"].folder
        )
        new = load_checkpoint(run.checkpoint)["model"]
        same = {k for k in old if torch.equal(old[k], new[k])}
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        weights = {k for k in old if k.startswith("backbone") and not k.endswith(statistics)}
        assert same - {k for k in old if k.endswith(statistics)} == weights | kept
        assert run.config["start"] == starts["ce"].config


def test_a_start_that_does_not_fit_is_refused(starts: dict[str, Run], tmp_path: Path) -> None:
    crt, start = get_method("crt"), starts["ce"].folder
    with pytest.raises(InputError, match="ce trains from scratch; leave out start"):
        pretrain(get_method("ce"), DIGITS, out=tmp_path / "a", start=start)
    with pytest.raises(InputError, match="a second stage and a student need the same data"):
        pretrain(crt, DataConfig("digits-lt", 10), out=tmp_path / "b", start=start)
    unfinished = Run.start(tmp_path / "c", starts["ce"].config)
    with pytest.raises(InputError, match="is not finished"):
        pretrain(crt, DIGITS, out=tmp_path / "d", start=unfinished.folder)
    with pytest.raises(MissingFileError, match="is not a run"):
        pretrain(crt, DIGITS, out=tmp_path / "d", start=tmp_path / "nowhere")
    with pytest.raises(
        InputError, match=r"learns from runs of ldam-drw-under-gml, .* names runs of ce,"
    ):
        pretrain(get_method("distilled"), DIGITS, out=tmp_path / "d", start=[start, start])
    with pytest.raises(InputError, match=r"crt rests on ce, 1 in number; start .* names 2"):
        pretrain(crt, DIGITS, out=tmp_path / "d", start=[start, start])
    assert not any((tmp_path / name).exists() for name in "abd")
    other = r"needs a network with the features of shike-features's, and .*ce has another one\. The"
    with pytest.raises(InputError, match=other):
        pretrain(get_method("shike"), DIGITS, out=tmp_path / "e", start=start)


@pytest.mark.parametrize("teachers", [[get_method("ce")], (get_method("ce"), get_method("ce"))])
def test_teachers_are_different_ones(teachers: Any) -> None:
    with pytest.raises(InputError, match="must be a tuple of different recipes"):
        replace(get_method("dive"), teachers=teachers)


def test_a_student_of_many_learns_without_labels(starts: dict[str, Run], tmp_path: Path) -> None:
    """It follows its teachers' mean, and says who they were."""
    recipe = get_method("distilled")
    runs = [starts[needed.name] for needed in recipe.rests_on]
    quick, epochs = in_seconds(recipe)
    begun = [run.folder for run in runs]
    student = pretrain(quick, DIGITS, epochs=epochs, out=tmp_path / "student", start=begun)
    assert student.config["start"] == runs[0].config
    assert student.config["teachers"] == [run.config for run in runs[1:]]

    taught = np.mean(
        [Predictions.load(r.folder / "predictions.npz").logits for r in runs[1:]], axis=0
    )
    said = Predictions.load(student.folder / "predictions.npz")
    assert said.logits is not None
    agree = np.mean(said.logits.argmax(axis=1) == taught.argmax(axis=1))
    assert agree > np.mean(said.logits.argmax(axis=1) == said.labels)


def test_a_student_may_begin_with_another_network(starts: dict[str, Run], tmp_path: Path) -> None:
    mixup, bsce = get_method("mixup"), get_method("bsce")
    assert isinstance(mixup, Recipe)
    still = Schedule(epochs=1, learning_rate=1e-12, warmup_epochs=0)
    dive, _ = in_seconds(get_method("dive"))
    student = replace(dive, start=mixup, keep_head=True, schedule=still)
    assert student.rests_on == (mixup, bsce)
    folders = [starts[name].folder for name in ("mixup", "bsce")]
    run = pretrain(student, DIGITS, out=tmp_path / "student", start=folders)
    assert run.config["start"] == starts["mixup"].config
    assert run.config["teachers"] == [starts["bsce"].config]
    begun, ended = (load_checkpoint(r.checkpoint)["model"] for r in (starts["mixup"], run))
    for name, value in begun.items():
        if name.endswith(("weight", "bias")):
            torch.testing.assert_close(ended[name], value)
    for wrong in (folders[:1], folders[::-1]):
        with pytest.raises(InputError, match=r"learns from runs of bsce, .* names runs of"):
            pretrain(student, DIGITS, out=tmp_path / "no", start=wrong)
    with pytest.raises(InputError, match="rests on mixup, bsce, 2 in number"):
        pretrain(student, DIGITS, out=tmp_path / "no", start=folders[1:])


def test_what_a_method_rests_on_is_that_of_the_data_set() -> None:
    """Or its run would be one that the other method's own command refuses."""
    for name in METHODS:
        for data in ("imagenet-lt", "places-lt", "cifar10-lt"):
            below = list(get_method(name, data, 10).rests_on)
            while below:
                needed = below.pop()
                below += needed.rests_on
                if needed.name in METHODS:
                    assert needed.to_dict() == get_method(needed.name, data, 10).to_dict()


def test_a_start_is_trained_beside(tmp_path: Path) -> None:
    pretrain(get_method("lws"), DIGITS, epochs=1, out=tmp_path / "x-lws-s0")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x-ce-s0", "x-lws-s0"]
    pretrain(get_method("ncm"), DIGITS, epochs=1, out=tmp_path / "mine")
    assert (tmp_path / "mine-ce" / "result.json").is_file()


def test_a_finished_run_does_not_ask_for_what_it_rests_on(tmp_path: Path) -> None:
    lws = get_method("lws")
    run = pretrain(lws, DIGITS, epochs=1, out=tmp_path / "x-lws-s0")
    shutil.rmtree(tmp_path / "x-ce-s0")
    assert pretrain(lws, DIGITS, epochs=1, out=run.folder).result == run.result
    assert not (tmp_path / "x-ce-s0").exists()


def test_a_finished_run_that_began_with_another_method_is_not_taken(
    starts: dict[str, Run], tmp_path: Path
) -> None:
    lws, out = get_method("lws"), tmp_path / "x-lws-s0"
    pretrain(lws, DIGITS, epochs=1, out=out, start=starts["mixup"].folder)
    with pytest.raises(InputError, match=r"start\.method: mixup there, ce asked"):
        pretrain(lws, DIGITS, epochs=1, out=out)


def test_a_finished_run_beneath_need_not_be_compiled_again(
    starts: dict[str, Run], tmp_path: Path
) -> None:
    shutil.copytree(starts["ce"].folder, tmp_path / "x-ce-s0")
    epochs = starts["ce"].config["recipe"]["schedule"]["epochs"]
    run = pretrain(
        get_method("tau-norm"), DIGITS, epochs=epochs, compile=True, out=tmp_path / "x-tau-norm-s0"
    )
    assert run.config["start"] == starts["ce"].config


def test_a_head_that_would_lose_a_part_is_not_kept(starts: dict[str, Run], tmp_path: Path) -> None:
    cosine = replace(get_method("lws"), head="cosine", trained={"head": 1.0})
    with pytest.raises(
        InputError, match=r"its bias would be lost in one of kind cosine\. Say head="
    ):
        pretrain(cosine, DIGITS, epochs=1, start=starts["ce"].folder, out=tmp_path / "x")


def test_batch_norm_that_is_not_trained_stays_still(tmp_path: Path) -> None:
    """Of a fresh network, and of one that goes on from another."""
    ce = get_method("ce")
    assert isinstance(ce, Recipe)
    begun = pretrain(ce, DIGITS, epochs=1, backbone="resnet32", out=tmp_path / "ce")
    part = {"backbone.stages.2": 1.0, "head": 1.0}
    for start, runs in ((None, []), (ce, [begun])):
        recipe = replace(ce, name="part", start=start, trained=part)
        learner = learner_of(recipe, load_dataset(DIGITS), runs, backbone="resnet32", seed=0)
        learner.train()
        learning = {name: m.training for name, m in learner.model.backbone.named_modules()}
        assert not learning["bn"]
        assert not learning["stages.0.0.bn1"]
        assert learning["stages.2.0.bn1"]


# --- the modern family ----------------------------------------------------------------------------


def test_modern_changes_the_first_stage_only() -> None:
    paper, strong = get_method("mislas"), get_method("mislas-modern")
    assert isinstance(paper, Recipe)
    assert isinstance(strong, Recipe)
    assert strong.start is not None
    assert strong.start.name == "mixup-modern"
    assert strong.start.augmentation == "autoaugment"
    assert strong.start.schedule.epochs == 400
    same = replace(strong, name=paper.name, start=paper.start)
    assert same.to_dict() == paper.to_dict()


def test_modern_changes_teachers_beside_a_start_too() -> None:
    dive, ce = get_method("dive"), get_method("ce")
    assert isinstance(dive, Recipe)
    assert isinstance(ce, Recipe)
    strong = modern(replace(dive, start=ce))
    assert [needed.name for needed in strong.rests_on] == ["ce-modern", "bsce-modern"]


def test_an_unknown_method_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no method 'cee'; there are .*; did you mean 'ce'\?"):
        get_method("cee")


@pytest.mark.parametrize("name", ["", "__init__", "os", "../ce", "ce.x"])
def test_only_files_of_this_folder_are_imported(name: str) -> None:
    with pytest.raises(InputError, match="There is no method"):
        get_method(name)


@pytest.mark.parametrize(
    ("data", "ratio", "smoothing", "head", "shifts"),
    [
        (None, None, (0.4, 0.1), 0.2, True),
        ("cifar100-lt", 100, (0.4, 0.1), 0.2, True),
        ("cifar100-lt", 50.0, (0.3, 0.0), 0.1, True),
        ("cifar100-lt", 10, (0.2, 0.0), 0.1, True),
        ("cifar10-lt", 100, (0.3, 0.0), 0.5, False),
        ("cifar10-lt", 50, (0.2, 0.0), 0.2, False),
        ("cifar10-lt", 10, (0.1, 0.0), 0.2, False),
        ("imagenet-lt", None, (0.3, 0.0), 0.05, True),
        ("places-lt", None, (0.4, 0.1), 0.05, True),
    ],
)
def test_mislas_has_the_published_constants_of_each_set(
    data: str | None, ratio: float | None, smoothing: tuple[float, float], head: float, shifts: bool
) -> None:
    recipe = get_method("mislas", data, ratio)
    assert isinstance(recipe, Recipe)
    loss = recipe.loss(ClassCounts([50, 10, 3]))
    assert (loss.smooth_head, loss.smooth_tail) == smoothing
    assert recipe.trained == {"head.scale": 1.0, "head": head}
    assert recipe.shift_batch_norm is shifts
    assert recipe.retraining["smoothing"] == list(smoothing)
    assert modern(recipe).retraining == recipe.retraining
