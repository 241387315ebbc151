"""Networks of the zoo: small files that give exactly what they say."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from everyclass import DataConfig, Run, get_method, load_dataset, pretrain, zoo
from everyclass.artifacts import load_safetensors, save_safetensors
from everyclass.cli.app import app
from everyclass.errors import (
    FileFormatError,
    InputError,
    MissingFileError,
    OutputError,
    OutputExistsError,
    RunFailedError,
)
from everyclass.stages import load_network

ROOT = Path(__file__).parents[2]
KEPT = zoo.names(ROOT / "zoo")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return pretrain(get_method("ce"), DataConfig("digits-lt", 20), epochs=5, out=folder / "ce")


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    zoo.add(run, folder=tmp_path / "zoo")
    return tmp_path / "zoo"


def test_what_is_added_is_loaded_and_checked(run: Run, folder: Path) -> None:
    assert zoo.names(folder) == ["digits-lt-ir20/ce"]
    trained = zoo.load("digits-lt-ir20/ce", folder)
    assert trained.model(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    assert not trained.model.training
    assert trained.facts["method"] == "ce"
    assert run.result is not None
    assert trained.facts["split_fingerprint"] == run.result["split_fingerprint"]
    evaluation = zoo.check("digits-lt-ir20/ce", folder=folder)
    assert evaluation.summary() == trained.facts["test"]
    assert evaluation.accuracy == pytest.approx(run.result["test"]["accuracy"], abs=0.02)


def test_a_run_whose_result_is_of_other_images_is_refused(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run.folder, other)
    result = json.loads((other / "result.json").read_text())
    result["test"]["accuracy"] -= 0.05
    (other / "result.json").write_text(json.dumps(result))
    with pytest.raises(RunFailedError, match="which float16 does not explain"):
        zoo.add(Run.open(other), folder=tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_weights_are_half_as_large(run: Run, folder: Path) -> None:
    arrays, _ = load_safetensors(folder / "digits-lt-ir20" / "ce.safetensors")
    assert {str(a.dtype) for a in arrays.values()} == {"float16"}


def test_a_network_that_was_changed_is_caught(folder: Path) -> None:
    path = folder / "digits-lt-ir20" / "ce.safetensors"
    arrays, metadata = load_safetensors(path)
    turned = {**arrays, "head.weight": np.roll(arrays["head.weight"], 1, axis=0)}
    save_safetensors(path, turned, metadata)
    with pytest.raises(RunFailedError, match="gives other recalls than its file says"):
        zoo.check("digits-lt-ir20/ce", folder=folder)
    facts = {**json.loads(metadata["facts"]), "split_fingerprint": "0"}
    save_safetensors(path, arrays, {**metadata, "facts": json.dumps(facts)})
    with pytest.raises(RunFailedError, match="another split"):
        zoo.check("digits-lt-ir20/ce", folder=folder)


def test_a_class_without_test_images_has_no_recall_and_is_no_difference(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_class_3(*arguments: Any, **options: Any) -> Any:
        dataset = load_dataset(*arguments, **options)
        rows = np.flatnonzero(dataset.test.labels != 3)
        return replace(dataset, test=dataset.test.take(rows))

    monkeypatch.setattr("everyclass.zoo.load_dataset", without_class_3)
    monkeypatch.setattr("everyclass.zoo._MOST_BY_ROUNDING", 1.0)  # the run was judged on all
    trained = zoo.add(run, folder=tmp_path / "zoo")
    recalls = np.array(trained.facts["per_class_recall"], dtype=np.float64)
    assert np.flatnonzero(np.isnan(recalls)).tolist() == [3]
    again = zoo.check(trained.name, folder=tmp_path / "zoo")
    assert np.array_equal(again.per_class_recall, recalls, equal_nan=True)
    monkeypatch.undo()
    with pytest.raises(RunFailedError, match=r"other recalls .* in 1 classes"):
        zoo.check(trained.name, folder=tmp_path / "zoo")


def with_facts(metadata: dict[str, str], **changed: Any) -> dict[str, str]:
    return {**metadata, "facts": json.dumps({**json.loads(metadata["facts"]), **changed})}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone that the package lies in; the current folder is beside it, and nothing is set."""
    package = tmp_path / "clone" / "src" / "everyclass"
    package.mkdir(parents=True)
    (tmp_path / "clone" / "pyproject.toml").touch()
    monkeypatch.setattr(zoo, "__file__", str(package / "zoo.py"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("EVERYCLASS_ZOO", raising=False)
    return tmp_path / "clone"


NAME = "digits-lt-ir20/ce"


def test_where_the_zoo_is_looked_for(folder: Path, clone: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "zoo" / "cifar100-lt").mkdir(parents=True)  # without a network
    said = f"no network in {here}/zoo, {clone}/zoo; .*variable EVERYCLASS_ZOO"
    with pytest.raises(MissingFileError, match=said):
        zoo.load(NAME)
    shutil.copytree(folder, clone / "zoo")
    assert zoo.load(NAME).name == NAME
    assert CliRunner().invoke(app, ["zoo", "list"]).stdout.startswith(NAME)
    for said_so in ("zoo", here / "zoo"):  # and then no other is meant
        assert zoo.names(said_so) == []
        with pytest.raises(MissingFileError, match=f"no network in {here}/zoo; name a zoo's fold"):
            zoo.load(NAME, said_so)
    done = CliRunner().invoke(app, ["zoo", "list", "--folder", "zoo"])
    assert isinstance(done.exception, MissingFileError)


def test_the_zoo_that_the_environment_says_is_the_one(
    folder: Path, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "here" / "zoo")
    shutil.copytree(folder / "digits-lt-ir20", tmp_path / "other" / "another")
    monkeypatch.setenv("EVERYCLASS_ZOO", str(tmp_path / "other"))
    assert zoo.names() == ["another/ce"]
    monkeypatch.setenv("EVERYCLASS_ZOO", str(tmp_path / "nowhere"))
    said = f"no folder {tmp_path}/nowhere, which the environment variable EVERYCLASS_ZOO names; set"
    with pytest.raises(MissingFileError, match=said):
        zoo.load(NAME)
    monkeypatch.setenv("EVERYCLASS_ZOO", "")
    assert zoo.names() == [NAME]


def test_what_lies_around_an_installed_package_is_no_clone(
    folder: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as somebody's project, whose environment the package is in."""
    shutil.copytree(folder, clone / "zoo")
    installed = clone / "lib" / "everyclass" / "zoo.py"
    monkeypatch.setattr(zoo, "__file__", str(installed))
    assert zoo.names() == []


def test_networks_are_added_where_the_environment_says(
    run: Run, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.add(run)
    assert (tmp_path / "here" / "zoo" / f"{NAME}.safetensors").is_file()
    monkeypatch.setenv("EVERYCLASS_ZOO", str(tmp_path / "mine"))
    assert CliRunner().invoke(app, ["zoo", "add", str(run.folder)]).exit_code == 0
    assert (tmp_path / "mine" / f"{NAME}.safetensors").is_file()


@pytest.mark.parametrize(
    ("command", "default"),
    [("add", "EVERYCLASS_ZOO, else zoo)"), ("list", "else zoo, else that of the clone)")],
)
def test_the_help_says_which_folder_it_is(command: str, default: str) -> None:
    said = CliRunner().invoke(app, ["zoo", command, "--help"], env={"COLUMNS": "200"}).stdout
    assert default in said.replace("]", ")")


def test_what_is_no_network_is_refused(folder: Path) -> None:
    with pytest.raises(MissingFileError, match="there is digits-lt-ir20/ce"):
        zoo.load("cifar100-lt/paco", folder)
    for name in ("../zoo/digits-lt-ir20/ce", "/etc/passwd", ""):
        with pytest.raises(MissingFileError, match="There is no network"):
            zoo.load(name, folder)
    path = folder / "digits-lt-ir20" / "ce.safetensors"
    arrays, metadata = load_safetensors(path)
    for changed, said in (
        ({}, "everyclass_zoo"),
        ({**metadata, "everyclass_zoo": "9"}, "its version is 9"),
        ({**metadata, "facts": "{}"}, "it has no 'data'"),
        (with_facts(metadata, split_fingerprint=None), "split_fingerprint is no text"),
        (with_facts(metadata, per_class_recall=[0.5]), r"recalls are \(1,\), for 10 classes"),
        (with_facts(metadata, class_names=3), "no len"),
        (with_facts(metadata, data={"name": "nowhere"}), "no data set 'nowhere'"),
        (with_facts(metadata, test={}), "it has no 'accuracy'"),
        (with_facts(metadata, head="cosine"), "its weights are not those of the network"),
        (
            with_facts(metadata, test={**json.loads(metadata["facts"])["test"], "accuracy": "0.5"}),
            "accuracy must be a number; got str",
        ),
        ({**metadata, "facts": "[1"}, "not a network of the zoo"),
    ):
        save_safetensors(path, arrays, changed)
        with pytest.raises(FileFormatError, match=said):
            zoo.load("digits-lt-ir20/ce", folder)
    path.write_bytes(b"junk")
    with pytest.raises(FileFormatError):
        zoo.load("digits-lt-ir20/ce", folder)


def test_an_unfinished_run_is_refused(run: Run, tmp_path: Path) -> None:
    unfinished = Run.start(tmp_path / "run", run.config)
    with pytest.raises(InputError, match="is not finished"):
        zoo.add(unfinished, folder=tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_a_run_that_does_not_say_its_data_is_refused(run: Run, tmp_path: Path) -> None:
    for damaged in ({}, {"data": {"name": "digits-lt", "odd": 1}}):
        config = {key: value for key, value in run.config.items() if key != "data"} | damaged
        other = Run.start(tmp_path / f"run{len(damaged)}", config)
        assert run.result is not None
        other.finish(run.result)
        with pytest.raises(FileFormatError, match=r"config\.json is damaged or incomplete"):
            zoo.add(other, folder=tmp_path / "zoo")


def test_a_zoo_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "zoo").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        zoo.add(run, folder=tmp_path / "zoo")


def test_another_network_of_the_same_name_is_not_lost(run: Run, folder: Path) -> None:
    path = folder / "digits-lt-ir20" / "ce.safetensors"
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match=r"ce\.safetensors holds a network .*--overwrite"):
        zoo.add(run, folder=folder)
    assert path.read_bytes() == before
    again = ["zoo", "add", str(run.folder), "--folder", str(folder), "--overwrite"]
    assert CliRunner().invoke(app, again).exit_code == 0
    assert "accuracy" in repr(zoo.load("digits-lt-ir20/ce", folder))


def test_the_commands(run: Run, tmp_path: Path) -> None:
    place = ["--folder", str(tmp_path / "zoo")]
    added = CliRunner().invoke(app, ["zoo", "add", str(run.folder), *place])
    assert added.stdout.startswith("Added digits-lt-ir20/ce: ")
    listed = CliRunner().invoke(app, ["zoo", "list", *place])
    assert listed.stdout.startswith("digits-lt-ir20/ce ")
    checked = CliRunner().invoke(app, ["zoo", "check", *place])
    assert checked.exit_code == 0
    assert "every recall as stored" in checked.stdout
    said = json.loads(CliRunner().invoke(app, ["zoo", "list", "--json", *place]).stdout)
    assert said == {"networks": [{"name": "digits-lt-ir20/ce", **facts(tmp_path)["test"]}]}


def facts(folder: Path) -> dict[str, Any]:
    return zoo.load("digits-lt-ir20/ce", folder / "zoo").facts


def test_a_check_of_nothing_fails(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="There is no folder"):
        zoo.known_names(tmp_path / "nowhere")
    (tmp_path / "digits-lt").mkdir()
    for command in ("list", "check"):
        for folder, said in ((tmp_path, "no network in"), (tmp_path / "nowhere", "no folder")):
            done = CliRunner().invoke(app, ["zoo", command, "--folder", str(folder)])
            assert done.exit_code != 0
            assert said in str(done.exception)
            assert not done.stdout


def test_a_check_goes_on_after_a_bad_network(folder: Path) -> None:
    path = folder / "digits-lt-ir20" / "ce.safetensors"
    arrays, metadata = load_safetensors(path)
    turned = {**arrays, "head.weight": np.roll(arrays["head.weight"], 1, axis=0)}
    save_safetensors(path.with_name("a.safetensors"), turned, metadata)
    path.with_name("b.safetensors").write_bytes(b"junk")
    done = CliRunner().invoke(app, ["zoo", "check", "--folder", str(folder)])
    assert isinstance(done.exception, RunFailedError)
    assert "2 of 3 networks failed: digits-lt-ir20/a, digits-lt-ir20/b." in str(done.exception)
    assert "digits-lt-ir20/a gives other recalls" in done.stderr
    assert "b.safetensors" in done.stderr
    assert done.stdout.startswith("digits-lt-ir20/ce: ")
    one = ["zoo", "check", "digits-lt-ir20/b", "--folder", str(folder)]
    assert isinstance(CliRunner().invoke(app, one).exception, FileFormatError)


@pytest.mark.parametrize("value", [1e5, float("nan")])
def test_weights_that_float16_cannot_hold_are_refused(
    value: float, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*arguments: Any) -> Any:
        model = load_network(*arguments)
        model.state_dict()["head.weight"][0, 0] = value
        return model

    monkeypatch.setattr("everyclass.zoo.load_network", damaged)
    with pytest.raises(InputError, match=r"head\.weight holds .* no finite number in float16"):
        zoo.add(run, folder=tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


@pytest.mark.skipif("EVERYCLASS_DATA" not in os.environ, reason="needs CIFAR in EVERYCLASS_DATA")
@pytest.mark.parametrize(
    "name",
    [  # 10,000 images each
        name if name == "cifar100-lt/distilled" else pytest.param(name, marks=pytest.mark.slow)
        for name in KEPT
    ],
)
def test_the_networks_kept_here_give_what_they_say(name: str) -> None:
    zoo.check(name, folder=ROOT / "zoo")


def test_a_list_goes_on_after_a_damaged_network(folder: Path) -> None:
    path = folder / "digits-lt-ir20" / "ce.safetensors"
    arrays, metadata = load_safetensors(path)
    path.with_name("b.safetensors").write_bytes(b"junk")
    facts = {**json.loads(metadata["facts"]), "test": {}}
    save_safetensors(
        path.with_name("d.safetensors"), arrays, {**metadata, "facts": json.dumps(facts)}
    )
    for more in ([], ["--json"]):
        done = CliRunner().invoke(app, ["zoo", "list", "--folder", str(folder), *more])
        assert isinstance(done.exception, RunFailedError)
        assert "2 of 3 networks failed: digits-lt-ir20/b, digits-lt-ir20/d." in str(done.exception)
        assert "b.safetensors" in done.stderr
        assert "d.safetensors is not a network of the zoo" in done.stderr
        assert "digits-lt-ir20/ce" in done.stdout
    path.unlink()
    path.with_name("d.safetensors").unlink()
    done = CliRunner().invoke(app, ["zoo", "list", "--folder", str(folder)])
    assert isinstance(done.exception, FileFormatError)
