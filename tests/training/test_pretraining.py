"""Stage 1 as a whole: what a run's folder holds, coming back to it, and dying at any write."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from everyclass import DataConfig, Predictions, Run, evaluate, get_method, load_dataset, pretrain
from everyclass.artifacts import write_json
from everyclass.data import BadPictures
from everyclass.errors import (
    FileFormatError,
    InputError,
    MissingFileError,
    OutputExistsError,
    RunFailedError,
)
from everyclass.losses import LDAMLoss
from everyclass.stages import extract_part, load_network
from everyclass.stages.pretraining.left_out import note_left_out, remember_left_out
from everyclass.training import load_checkpoint, save_checkpoint

Train = Callable[..., Run]
Content = Callable[[Path], dict[str, Any]]


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_checkpoint(run.checkpoint)["model"]  # type: ignore[no-any-return]


def same_weights(a: Run, b: Run) -> bool:
    one, other = weights(a), weights(b)
    return list(one) == list(other) and all(torch.equal(one[k], other[k]) for k in one)


def logged_epochs(run: Run) -> list[int]:
    return [json.loads(x)["epoch"] for x in (run.folder / "log.jsonl").read_text().splitlines()]


def test_a_run_holds_everything_and_its_numbers_come_from_its_predictions(
    train_digits: Train,
) -> None:
    run = train_digits(3, seed=4)
    assert {p.name for p in run.folder.iterdir()} == {
        "config.json",
        "checkpoint.safetensors",
        "log.jsonl",
        "predictions.npz",
        "result.json",
    }
    assert run.result is not None
    said = Predictions.load(run.folder / "predictions.npz")
    assert run.result["test"] == evaluate(said).summary()
    digits = load_dataset(DataConfig("digits-lt", imbalance_ratio=20))
    assert np.array_equal(said.labels, digits.test.labels)
    assert run.result["split_fingerprint"] == digits.train.fingerprint
    assert run.result["class_counts"] == digits.class_counts.counts.tolist()
    assert run.result["config"] == run.config
    assert run.config["seed"] == 4
    assert run.config["recipe"]["schedule"]["epochs"] == 3
    assert run.result["versions"]["torch"] == torch.__version__
    assert run.result["seconds"] > 0
    assert logged_epochs(run) == [1, 2, 3]


def test_the_checkpoint_is_the_network_of_the_last_epoch(train_digits: Train) -> None:
    run = train_digits(3)
    digits = load_dataset(DataConfig("digits-lt", imbalance_ratio=20))
    pixels = torch.from_numpy(digits.test.images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        logits = load_network(run, 10)((pixels - 0.5) / 0.5)
    said = Predictions.load(run.folder / "predictions.npz").logits
    assert said is not None
    tolerance = 0.1 if run.config["precision"] == "bf16" else 1e-4
    np.testing.assert_allclose(logits, said, atol=tolerance)


def test_a_second_call_does_nothing(train_digits: Train, content: Content) -> None:
    first = train_digits(2)
    before = content(first.folder)
    again = train_digits(2)
    assert content(first.folder) == before
    assert again.result == first.result


def test_predictions_that_a_finished_run_has_lost_are_made_again(
    train_digits: Train, content: Content
) -> None:
    run = train_digits(2)
    said = run.predictions.read_bytes()
    save_checkpoint(run.checkpoint, {"model": weights(run)})  # all that is ever read again
    run.predictions.unlink()
    kept = content(run.folder)
    train_digits(2)
    now = content(run.folder)
    assert now.pop(run.predictions.name)[0] == said
    assert now == kept


def test_a_finished_run_may_be_looked_at_by_several(train_digits: Train) -> None:
    run = train_digits(2)
    with run.held():
        assert train_digits(2).result == run.result


def test_a_run_is_held_as_it_is_when_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may replace the configuration while this one waits for the lock."""
    fcntl = pytest.importorskip("fcntl")
    run, lock = Run.start(tmp_path / "run", {"seed": 0}), fcntl.flock
    told = [run.config]

    def late(file: Any, kind: int) -> None:
        if told:
            write_json(run.folder / "config.json", told.pop(0))
        lock(file, kind)

    monkeypatch.setattr("fcntl.flock", late)
    with run.held(), pytest.raises(InputError, match="Another process is working"), run.held():
        pytest.fail("held twice")
    told.append({**run.config, "seed": 1})
    other = r"has made another run of .* \(seed: 1 there, 0 asked\)"
    with pytest.raises(InputError, match=other), run.held():
        pytest.fail("held as another run")


def test_features_from_a_run_are_what_the_run_makes_of_them(
    train_digits: Train, tmp_path: Path
) -> None:
    """In its own precision, and normalised as what it was trained on."""
    run = train_digits(2, precision="fp32")
    data = DataConfig("digits-lt", imbalance_ratio=20)
    digits = load_dataset(data)
    network = load_network(run, 10)

    def features_of(images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            return network.backbone((pixels - 0.5) / 0.5).numpy()  # type: ignore[no-any-return]

    found = extract_part(data, str(run.folder), part="test", device="cpu")
    np.testing.assert_allclose(found.features, features_of(digits.test.images), atol=1e-5)
    grey = np.stack([np.full((8, 8, 3), 20 * c, np.uint8) for c in range(10)])
    for c, image in enumerate(grey):
        (tmp_path / "pictures" / str(c)).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "pictures" / str(c) / "one.png")
    pictures = DataConfig(f"folder:{tmp_path / 'pictures'},size=8")
    same = extract_part(pictures, str(run.folder), device="cpu", workers=0)
    np.testing.assert_allclose(same.features, features_of(grey), atol=1e-5)


def test_features_of_a_run_that_is_not_finished_are_refused(train_digits: Train) -> None:
    run = train_digits(1)
    (run.folder / "result.json").unlink()
    with pytest.raises(InputError, match=r"training in .*run is not finished; go on with it by"):
        extract_part(DataConfig("digits-lt", 20), str(run.folder), device="cpu")


def test_a_finished_run_that_has_lost_its_network_says_so(train_digits: Train) -> None:
    run = train_digits(2)
    run.checkpoint.unlink()
    run.predictions.unlink()
    with pytest.raises(MissingFileError, match=r"finished, but its checkpoint is gone"):
        train_digits(2)


def test_a_checkpoint_in_parts_has_to_be_put_together(train_digits: Train) -> None:
    run = train_digits(2)
    whole = run.checkpoint.read_bytes()
    for name, part in ("aa", whole[:1000]), ("ab", whole[1000:]):
        run.checkpoint.with_name(f"checkpoint.safetensors.part-{name}").write_bytes(part)
    run.checkpoint.unlink()
    with pytest.raises(MissingFileError, match=r"cat checkpoint\.safetensors\.part-\*"):
        train_digits(3)
    run.checkpoint.write_bytes(whole)
    assert Run.open(run.folder).result == run.result


@pytest.mark.filterwarnings("ignore:.*bfloat16")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_was_moved_to_another_machine_keeps_its_precision(
    train_digits: Train, tmp_path: Path, precision: str
) -> None:
    begun = train_digits(1, out=tmp_path / "run", precision=precision)
    again = train_digits(1, out=tmp_path / "run", precision="auto")
    assert again.config == begun.config
    assert again.config["precision"] == precision


def test_emulated_bfloat16_is_warned_of(
    train_digits: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_bfloat16(monkeypatch, hidden=True)
    with pytest.warns(UserWarning, match="bfloat16, which the hardware here only emulates"):
        train_digits(1, precision="bf16")


def hide_bfloat16(monkeypatch: pytest.MonkeyPatch, *, hidden: bool) -> None:
    for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, question, lambda: not hidden, raising=False)


def precisions(run: Run) -> list[str]:
    log = (run.folder / "log.jsonl").read_text()
    return [json.loads(line)["precision"] for line in log.splitlines()]


def test_seeds_differ(train_digits: Train, tmp_path: Path) -> None:
    runs = [train_digits(2, seed=s, out=tmp_path / str(s)) for s in (0, 1)]
    assert not same_weights(*runs)


def test_the_default_folder_is_named_by_data_method_and_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = pretrain(get_method("ce"), DataConfig("digits-lt", 20), epochs=1, seed=7)
    assert run.folder == Path("runs/digits-lt-ir20-ce-s7")
    assert (tmp_path / "runs/digits-lt-ir20-ce-s7/result.json").is_file()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 4}, "recipe.schedule.epochs: 3 there, 4 asked"),
        ({"seed": 1}, "seed: 0 there, 1 asked"),
        ({"imbalance_ratio": 10}, "data.imbalance_ratio: 20 there, 10 asked"),
        ({"compile": True}, "compile: False there, True asked"),
        (
            {"recipe": replace(get_method("ce"), batch_size=64)},
            "recipe.batch_size: 128 there, 64 asked",
        ),
    ],
)
def test_another_configuration_is_refused_and_named(
    change: dict[str, Any], named: str, train_digits: Train, content: Content
) -> None:
    run = train_digits(3)
    before = content(run.folder)
    with pytest.raises(InputError, match="another configuration") as caught:
        train_digits(**{"epochs": 3, **change})
    assert named in str(caught.value)
    assert str(caught.value).count(" asked") == 1  # and nothing else
    assert content(run.folder) == before


def of_cross_entropy(**settings: Any) -> Callable[[Any], nn.Module]:
    return lambda _: nn.CrossEntropyLoss(**settings)


def of_ldam(**settings: Any) -> Callable[[Any], nn.Module]:
    return lambda counts: LDAMLoss(counts, **settings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (of_cross_entropy(), of_cross_entropy(label_smoothing=0.1)),
        (of_cross_entropy(), of_cross_entropy(weight=torch.linspace(0.5, 1.5, 10))),
        (
            of_ldam(weight=torch.linspace(0.5, 1.5, 10)),
            of_ldam(weight=torch.linspace(1.5, 0.5, 10)),
        ),
    ],
)
def test_a_loss_is_known_by_what_its_repr_leaves_out(
    one: Any, other: Any, train_digits: Train
) -> None:
    train_digits(1, recipe=replace(get_method("ce"), loss=one))
    with pytest.raises(InputError, match=r"recipe\.loss_values\.(label_smoothing|weight): "):
        train_digits(1, recipe=replace(get_method("ce"), loss=other))


def test_a_run_begun_before_losses_told_their_values_goes_on(train_digits: Train) -> None:
    run = train_digits(1)
    config = json.loads((run.folder / "config.json").read_text())
    assert config["recipe"].pop("loss_values")["label_smoothing"] == 0.0
    (run.folder / "config.json").write_text(json.dumps(config))
    assert train_digits(1).result == run.result


def test_a_run_goes_on_where_what_fits_a_head_has_got_a_setting_more(tmp_path: Path) -> None:
    told = "retrained(settings=Retraining(gml_weight=10.0, smoothing=(0.4, 0.1)))"
    more = told.replace("gml_weight=10.0", "gml_weight=10.0, later=MinibatchSettings(epochs=20)")

    def config(fit: str) -> dict[str, Any]:
        recipe = {"name": "ce-under-gml", "fit": fit}
        return {"recipe": recipe, "teachers": [{"recipe": recipe}, {"recipe": {"name": "ce"}}]}

    run = Run.start(tmp_path, config(told))
    run.log({"epoch": 1})
    assert Run.start(tmp_path, config(more)).config == run.config
    other = config(told.replace("0.4", "0.3"))
    with pytest.raises(InputError, match=r"recipe\.fit: .*; teachers\[0\]\.recipe\.fit: "):
        Run.start(tmp_path, other)


def test_a_folder_of_something_else_is_refused(train_digits: Train, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputExistsError, match="not empty and not a run"):
        train_digits(1)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def stopped_after(epochs: int, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a run of three epochs as Ctrl-C leaves it."""
    log = Run.log

    def stopping(run: Run, record: Any) -> None:
        if record["epoch"] > epochs:
            raise KeyboardInterrupt
        log(run, record)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(3)


def stopped_in_bfloat16(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of a run in bfloat16, on hardware that has it."""
    hide_bfloat16(monkeypatch, hidden=False)
    stopped_after(1, partial(train, precision="bf16"), monkeypatch)


def test_a_run_in_bfloat16_goes_on_in_float32_where_that_is_asked_for_and_needed(
    train_digits: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = partial(train_digits, out=tmp_path / "run")
    stopped_in_bfloat16(train, monkeypatch)
    hide_bfloat16(monkeypatch, hidden=True)
    run = train(3, precision="fp32")
    assert run.result is not None
    assert run.config["precision"] == "bf16"
    assert precisions(run) == ["bf16", "fp32", "fp32"]


def test_where_bfloat16_is_no_emulation_a_run_keeps_it(
    train_digits: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = partial(train_digits, out=tmp_path / "run")
    stopped_in_bfloat16(train, monkeypatch)
    with pytest.raises(InputError, match="precision: bf16 there, fp32 asked"):
        train(3, precision="fp32")
    assert precisions(train(3)) == ["bf16"] * 3


def test_a_finished_run_in_bfloat16_is_not_taken_for_one_in_float32(
    train_digits: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_bfloat16(monkeypatch, hidden=False)
    train_digits(1, out=tmp_path / "run", precision="bf16")
    hide_bfloat16(monkeypatch, hidden=True)
    with pytest.raises(InputError, match="precision: bf16 there, fp32 asked"):
        train_digits(1, out=tmp_path / "run", precision="fp32")


def test_in_a_run_that_goes_on_in_float32_what_it_rests_on_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(epochs: int, method: str = "crt", precision: Any = "bf16") -> Run:
        folder, data = tmp_path / f"x-{method}", DataConfig("digits-lt", 20)
        return pretrain(get_method(method), data, epochs=epochs, precision=precision, out=folder)

    hide_bfloat16(monkeypatch, hidden=False)
    beneath = train(3, "ce")
    stopped_in_bfloat16(train, monkeypatch)
    hide_bfloat16(monkeypatch, hidden=True)
    run = train(3, precision="fp32")
    assert run.result is not None
    assert precisions(run) == ["bf16", "fp32", "fp32"]
    assert precisions(beneath) == ["bf16"] * 3


@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty"])
def test_a_damaged_checkpoint_is_refused_and_left_alone(
    damage: str, train_digits: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_after(2, train_digits, monkeypatch)
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    damaged = {"truncated": whole[:-100], "foreign": b"PK\x03\x04 something", "empty": b""}[damage]
    checkpoint.write_bytes(damaged)
    with pytest.raises(FileFormatError, match="checkpoint"):
        train_digits(3)
    assert checkpoint.read_bytes() == damaged
    checkpoint.write_bytes(whole)
    assert train_digits(3).result is not None


# --- dying at any write ---------------------------------------------------------------------------


class Death(BaseException):
    """Ends a run at once, as SIGKILL does."""


def dying(at: int, *, after: bool) -> Callable[..., None]:
    """An ``os.replace`` whose ``at``-th call is never made, or never returns."""
    replace_file = os.replace
    calls = 0

    def replacing(source: Any, target: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == at and not after:
            raise Death
        replace_file(source, target, **options)
        if calls == at:
            raise Death

    return replacing


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_that_dies_at_any_write_ends_the_same(
    after: bool, train_digits: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = train_digits(3, out=tmp_path / "undisturbed")
    expected = Predictions.load(undisturbed.folder / "predictions.npz").logits
    deaths = 0
    for at in range(1, 20):
        folder = tmp_path / f"dead-{at}"
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying(at, after=after))
            try:
                train_digits(3, out=folder)
                break  # it has fewer writes than that
            except Death:
                deaths += 1
        run = train_digits(3, out=folder)
        assert same_weights(run, undisturbed), at
        assert logged_epochs(run) == [1, 2, 3], at
        said = Predictions.load(folder / "predictions.npz").logits
        assert np.array_equal(said, expected), at
        assert run.result is not None
        assert undisturbed.result is not None
        assert run.result["test"] == undisturbed.result["test"]
    assert deaths == 9  # configuration, three logs and checkpoints, predictions, result


# --- bad pictures ---------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> DataConfig:
    """Two classes of small pictures; one training picture and one test picture are missing."""
    generator = np.random.default_rng(0)
    lines = []
    for number in range(12):
        pixels = generator.integers(0, 128, (8, 8, 3)) + 100 * (number % 2)
        lines.append(f"{number}.png {number % 2}")
        if number not in (3, 9):
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "train.txt").write_text("\n".join(lines[:8]))
    (tmp_path / "test.txt").write_text("\n".join(lines[8:]))
    parts = f"list:{tmp_path}/train.txt,test={tmp_path}/test.txt,size=8"
    return DataConfig(parts, bad_images="skip")


def train_on(pictures: DataConfig, out: Path, method: str = "ce") -> Run:
    return pretrain(
        get_method(method), pictures, epochs=2, backbone="mlp", workers=0, out=out, device="cpu"
    )


def left_out(run: Run) -> tuple[str, int]:
    assert run.result is not None
    listed = (run.folder / "bad-images.csv").read_text()
    return listed, run.result["bad_images"]


@pytest.mark.parametrize("method", ["ce", "ncm"])
def test_bad_pictures_of_every_part_are_listed_and_counted(
    method: str, pictures: DataConfig, tmp_path: Path
) -> None:
    listed, count = left_out(train_on(pictures, tmp_path / "run", method))
    expected = [f"{tmp_path}/{n}.png,no such file" for n in (3, 9)]
    assert (listed.splitlines(), count) == (["path,reason", *expected], 2)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_that_dies_at_any_write_has_forgotten_no_bad_picture(
    after: bool, pictures: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = left_out(train_on(pictures, tmp_path / "undisturbed"))
    deaths = 0
    for at in range(1, 20):
        folder = tmp_path / f"dead-{at}"
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying(at, after=after))
            try:
                train_on(pictures, folder)
                break
            except Death:
                deaths += 1
        assert left_out(train_on(pictures, folder)) == expected, at
    assert deaths == 10  # configuration, two lists, logs, checkpoints, a list, predictions, result


def test_a_list_of_bad_pictures_counts_from_its_checkpoint_on(
    pictures: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = left_out(train_on(pictures, tmp_path / "undisturbed"))
    monkeypatch.setattr(os, "replace", dying(2, after=True))  # no checkpoint yet
    with pytest.raises(Death):
        train_on(pictures, tmp_path / "run")
    monkeypatch.undo()
    listed = tmp_path / "run" / "bad-images.csv"
    listed.write_text(listed.read_text() + "long repaired.png,no such file\n")
    assert left_out(train_on(pictures, tmp_path / "run")) == expected


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ("mine", OutputExistsError, "no list of bad pictures"),
        ("path,reason\na.png\n", FileFormatError, "remove it to go on without it"),
        ('path,reason\na\rb.png,"no such file\n', FileFormatError, "remove it to go on"),
    ],
)
def test_a_damaged_list_of_bad_pictures_is_refused(
    content: str, error: type[Exception], said: str, pictures: DataConfig, tmp_path: Path
) -> None:
    run = train_on(pictures, tmp_path / "run")
    (run.folder / "result.json").unlink()
    listed = run.folder / "bad-images.csv"
    whole = listed.read_text()
    listed.write_text(content)
    with pytest.raises(error, match=said):
        train_on(pictures, run.folder)
    listed.write_text(whole)
    assert left_out(train_on(pictures, run.folder)) == (whole, 2)


def test_a_computed_head_reads_pictures_by_as_many_processes_as_asked_for(
    pictures: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, start = [], DataLoader.__init__

    def noting(loader: Any, *arguments: Any, num_workers: int = 0, **settings: Any) -> None:
        asked.append(num_workers)
        start(loader, *arguments, num_workers=0, **settings)

    monkeypatch.setattr(DataLoader, "__init__", noting)
    pretrain(
        get_method("ncm"), pictures, epochs=1, backbone="mlp", workers=1, out=tmp_path / "x",
        device="cpu",
    )  # fmt: skip
    assert set(asked) == {1}


@pytest.mark.parametrize("path", ["a\rb.jpg", "a\nb.jpg", 'a",b.jpg', "a\udcffb.jpg"])
def test_a_list_of_bad_pictures_can_be_read_again_whatever_their_names(
    path: str, tmp_path: Path
) -> None:
    bad = BadPictures("skip")
    bad.add(path, "broken\rindeed")
    run = Run.start(tmp_path / "run", {"method": "ce"})
    run.checkpoint.touch()
    note_left_out(run, bad)
    again = BadPictures("skip")
    remember_left_out(run, again)
    assert again.found == bad.found


def test_an_epoch_that_could_not_read_two_pictures_says_so(tmp_path: Path) -> None:
    for c in range(2):
        (tmp_path / "pictures" / str(c)).mkdir(parents=True)
        place = tmp_path / "pictures" / str(c) / "one.png"
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place)
    for part in "train", "test":
        shutil.copytree(tmp_path / "pictures", tmp_path / "data" / part)
    (tmp_path / "data/train/1/one.png").write_bytes(b"no picture")
    pictures = DataConfig(f"folder:{tmp_path / 'data'},size=8", bad_images="skip")
    with pytest.raises(RunFailedError, match=r"Epoch 1 has no batch with two pictures"):
        train_on(pictures, tmp_path / "run")
