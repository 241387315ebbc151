"""From a training's folder to its rescue, on digits."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from everyclass import (
    DataConfig,
    Features,
    Head,
    Predictions,
    Retraining,
    Run,
    evaluate,
    get_method,
    load_dataset,
    pretrain,
    rescue,
    rescue_run,
)
from everyclass.errors import (
    FileFormatError,
    InputError,
    MissingFileError,
    OutputExistsError,
)
from everyclass.stages import MinibatchSettings, extract_run, load_network, retraining_of
from everyclass.stages.retraining import minibatch_solver
from everyclass.stages.retraining.retraining import penalties_to_try
from everyclass.training import save_checkpoint

QUICK = Retraining(penalty=1e-3)
FILES = {
    "old-head.safetensors",
    "head.safetensors",
    "diagnosis.json",
    "evaluation.json",
    "result.json",
    "report.html",
    "old.npz",
    "retrained.npz",
    "ensemble.npz",
    "train-features.npz",
    "test-features.npz",
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "run"
    data = DataConfig("digits-lt", imbalance_ratio=20)
    pretrain(get_method("ce"), data, epochs=25, precision="fp32", out=folder)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    shutil.copytree(trained, tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_everything_is_there_and_fits_together(run: Run) -> None:
    result = rescue_run(run, num_views=3, val="rest", retraining=QUICK)
    folder = run.folder / "rescue"
    assert {p.name for p in folder.iterdir()} == FILES
    train, test = (Features.load(folder / f"{name}-features.npz") for name in ("train", "test"))
    assert train.features.shape == (3, 405, 64)
    assert test.features.shape == (500, 64)
    # The old classifier is the network: what pretraining said of the test set is what it says.
    trained = Predictions.load(run.folder / "predictions.npz")
    old = Predictions.load(folder / "old.npz")
    assert old.logits is not None
    np.testing.assert_allclose(old.logits, trained.logits, rtol=1e-3, atol=1e-3)
    head = Head.load(folder / "head.safetensors")
    new = Predictions.load(folder / "retrained.npz")
    np.testing.assert_allclose(head.logits(test.features), new.logits, rtol=1e-4, atol=1e-4)
    # The numbers are those of the files.
    numbers = json.loads((folder / "evaluation.json").read_text())
    for name in ("old", "retrained", "ensemble"):
        again = evaluate(Predictions.load(folder / f"{name}.npz"))
        assert numbers[name]["lowest_recall"] == again.lowest_recall
    assert numbers["verdict"]["decided_on"] == "validation data"
    assert numbers["old"]["class_names"] == [str(c) for c in range(10)]
    assert result.settings["run"] == run.config
    # And the files are enough to do it again.
    again = rescue(
        train.with_head(Head.load(folder / "old-head.safetensors")),
        val=extract_run(run, num_views=1, val="rest")[1],
        retraining=QUICK,
    )
    assert np.array_equal(again.retrained.weight, result.retrained.weight)
    # The folded network says the same as well.
    model = load_network(run, 10)
    assert set(result.to_module(model, "retrained").state_dict()) == set(model.state_dict())


def test_the_old_classifier_of_class_means_is_the_class_means(
    trained: Path, tmp_path: Path
) -> None:
    data = DataConfig("digits-lt", imbalance_ratio=20)
    run = pretrain(get_method("ncm"), data, start=trained, out=tmp_path / "ncm")
    result = rescue_run(run, num_views=1, retraining=QUICK)
    judged = Predictions.load(run.folder / "predictions.npz")
    old = Predictions.load(run.folder / "rescue" / "old.npz")
    np.testing.assert_allclose(old.logits, judged.logits, rtol=1e-3, atol=1e-3)
    # What is put into the network is asked about the same centred features.
    network = load_network(run, 10)
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        np.testing.assert_allclose(
            result.to_module(network, "retrained")(images).numpy(),
            result.retrained.logits(network.embed(images).numpy()),
            atol=1e-3,
        )


def test_of_routed_experts_the_mean_is_rescued_and_that_is_said(tmp_path: Path) -> None:
    data = DataConfig("digits-lt", imbalance_ratio=20)
    run = pretrain(get_method("ride-assigned"), data, epochs=1, out=tmp_path / "ride-assigned")
    with pytest.warns(UserWarning, match="the mean of all experts"):
        train, _, test = extract_run(run, num_views=1)
    mean = Predictions.load(tmp_path / "ride" / "predictions.npz")
    assert train.head is not None
    np.testing.assert_allclose(train.head.logits(test.features), mean.logits, atol=1e-3)


def test_the_report_shows_errors_as_pictures(run: Run) -> None:
    rescue_run(run, retraining=QUICK, num_views=2)
    assert "data:image/png;base64," in (run.folder / "rescue" / "report.html").read_text()


def test_it_lifts_the_worst_classes(run: Run) -> None:
    result = rescue_run(run, num_views=2, val="rest", retraining=QUICK)
    old, new = (result.evaluations[name] for name in ("old", "retrained"))
    assert new.harmonic_mean > old.harmonic_mean
    assert new.lowest_recall > old.lowest_recall
    assert result.verdict.use != "old"


def test_the_same_seed_gives_the_same_features(run: Run) -> None:
    one, same, other = (extract_run(run, num_views=2, seed=s)[0] for s in (0, 0, 1))
    assert np.array_equal(one.features, same.features)
    assert np.array_equal(one.views[0], other.views[0])
    assert not np.array_equal(one.views[1], other.views[1])


def test_held_out_images_are_those_of_the_data(run: Run) -> None:
    assert extract_run(run, num_views=1)[1] is None
    held_out = extract_run(run, num_views=1, val="rest")[1]
    digits = load_dataset(DataConfig("digits-lt", 20, val="rest"))
    assert held_out is not None
    assert digits.val is not None
    assert held_out.labels.tolist() == digits.val.labels.tolist()


def content(folder: Path) -> dict[str, Any]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def test_an_earlier_rescue_is_only_replaced_when_asked(run: Run) -> None:
    options: dict[str, Any] = {"num_views": 1, "val": "rest"}
    rescue_run(run, retraining=QUICK, **options)
    before = content(run.folder / "rescue")
    with pytest.raises(OutputExistsError, match="not empty; name another one or pass overwrite"):
        rescue_run(run, retraining=QUICK, **options)
    assert content(run.folder / "rescue") == before
    rescue_run(run, retraining=Retraining(penalty=0.1), overwrite=True, **options)
    after = content(run.folder / "rescue")
    assert set(after) == FILES
    assert after["head.safetensors"] != before["head.safetensors"]


@pytest.mark.parametrize("stage", ["extract_run", "rescue"])
def test_an_interrupted_rescue_leaves_the_earlier_one(
    stage: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    options: dict[str, Any] = {"num_views": 1, "val": "rest", "retraining": QUICK}
    rescue_run(run, **options)
    before = content(run.folder / "rescue")
    monkeypatch.setattr(f"everyclass.stages.rescuing.run_rescue.{stage}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rescue_run(run, overwrite=True, **options)
    assert content(run.folder / "rescue") == before


def test_more_views_than_memory_holds_are_refused_before_the_network_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "everyclass.stages.extraction.extracting.free_memory"
    monkeypatch.setattr(place, lambda: 1000)
    with pytest.raises(InputError, match=r"10 views of .* images are .* extract into a folder"):
        extract_run(run)


def test_an_unfinished_training_is_refused(run: Run) -> None:
    (run.folder / "result.json").unlink()
    with pytest.raises(InputError, match="not finished; go on with it by everyclass pretrain"):
        rescue_run(run)
    assert not (run.folder / "rescue").exists()


@pytest.mark.parametrize("refused_by", ["the data", "the rescue"])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_refused_rescue_leaves_no_folder_behind(
    refused_by: str, is_there: bool, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise InputError("features of")

    monkeypatch.setattr("everyclass.stages.rescuing.run_rescue.rescue", refused)
    out = tmp_path / "rescued"
    if is_there:
        out.mkdir()
    val, said = ("train.npz", "'none' or 'rest'") if refused_by == "the data" else (None, "feature")
    with pytest.raises(InputError, match=said):
        rescue_run(run, num_views=1, val=val, out=out)
    assert out.exists() == is_there  # what was there before is somebody's


def test_a_stopped_rescue_by_sgd_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[int] = []

    def save(path: Path, state: dict[str, Any]) -> None:
        save_checkpoint(path, state)
        epochs.append(state["epoch"])
        if epochs == [1, 2]:
            raise KeyboardInterrupt

    monkeypatch.setattr(minibatch_solver, "save_checkpoint", save)
    sgd = MinibatchSettings(epochs=4, batch_size=64)
    by_sgd = replace(QUICK, solver="minibatch", minibatch=sgd)
    with pytest.raises(KeyboardInterrupt):
        rescue_run(run, num_views=1, retraining=by_sgd)
    result = rescue_run(run, num_views=1, retraining=by_sgd)
    assert epochs[:4] == [1, 2, 3, 4]
    assert not list((run.folder / "rescue").glob(".*"))
    whole = rescue_run(run, num_views=1, retraining=by_sgd, overwrite=True)
    assert np.array_equal(result.retrained.weight, whole.retrained.weight)
    assert result.settings["retraining"] == whole.settings["retraining"]


def test_a_run_without_a_checkpoint_is_refused(run: Run) -> None:
    run.checkpoint.unlink()
    with pytest.raises(MissingFileError, match="finished, but its checkpoint is gone"):
        rescue_run(run)
    (run.folder / "result.json").unlink()
    with pytest.raises(MissingFileError, match="no checkpoint yet"):
        load_network(run, 10)


def test_a_checkpoint_of_another_network_is_refused(run: Run) -> None:
    other = Run(run.folder, {**run.config, "backbone": "resnet32"})
    with pytest.raises(InputError, match="does not fit the run's configuration"):
        extract_run(other)


@pytest.mark.parametrize("key", ["data", "precision", "backbone"])
def test_a_configuration_that_lacks_something_is_refused(key: str, run: Run) -> None:
    config = {k: v for k, v in run.config.items() if k != key}
    with pytest.raises((FileFormatError, InputError), match=r"damaged|does not fit"):
        extract_run(Run(run.folder, config))
    strange = Run(run.folder, {**run.config, "data": {"name": "digits-lt", "colour": "red"}})
    with pytest.raises(FileFormatError, match=r"config\.json is damaged"):
        extract_run(strange)


def test_a_run_of_mislas_keeps_its_smoothing_beside_gml(run: Run) -> None:
    assert retraining_of(run) == Retraining()
    assert retraining_of(run, penalty=0.1, solver="running") == Retraining(
        penalty=0.1, solver="running"
    )
    kept = {**get_method("mislas", "cifar100-lt", 50).to_dict(), "head": "linear"}
    smoothed = Run(run.folder, {**run.config, "recipe": json.loads(json.dumps(kept))})
    assert retraining_of(smoothed) == Retraining("gml_and_smoothing", smoothing=(0.3, 0.0))
    assert retraining_of(smoothed, objective="gml").objective == "gml"
    assert retraining_of(smoothed, "auto") == Retraining()
    result = rescue_run(
        smoothed, num_views=1, retraining=retraining_of(smoothed, penalty=1e-3, gml_weight=2.0)
    )
    said = json.loads((run.folder / "rescue" / "result.json").read_text())["settings"]["retraining"]
    assert said["objective"] == result.settings["retraining"]["objective"] == "gml_and_smoothing"
    assert (said["gml_weight"], said["smoothing"]) == (2.0, [0.3, 0.0])


def test_a_sum_of_losses_is_held_by_so_many_times_the_penalty() -> None:
    alone = penalties_to_try(Retraining(), 10)
    both = penalties_to_try(Retraining("gml_and_smoothing", gml_weight=2.0), 10)
    assert both == pytest.approx([3 * penalty for penalty in alone])
