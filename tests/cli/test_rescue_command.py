"""`everyclass rescue` on files that anybody may have made."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass import Features, Head, Predictions, evaluate, rescue

QUICK = ("--penalty", "0.01", "-q")
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
}
NUMBERS = ("accuracy", "balanced_accuracy", "geometric_mean", "harmonic_mean", "lowest_recall")
Command = Callable[..., Any]


def names_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def content(folder: Path) -> dict[str, Any]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def read_json(text: str) -> Any:
    return json.loads(text, parse_constant=refuse_constant)


# --- what it writes -------------------------------------------------------------------------------


def test_the_whole_job(everyclass: Command, files: Path) -> None:
    out = files / "rescued"
    done = everyclass(
        "rescue", files / "train.npz", "--head", files / "head.npz", "--test",
        files / "test.npz", "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert names_in(out) == FILES
    assert "Report: " in done.out
    assert "harmonic mean" in done.out
    said = read_json((out / "evaluation.json").read_text())
    assert done.out.startswith(("Use the", "No change recommended"))
    assert said["verdict"]["reason"] in done.out
    shown = [line.split()[0] for line in done.out.splitlines() if line]
    assert {"none", "gml", "ensemble", "additive", "class_weighted"} <= {*shown}
    # The same from Python gives the same.
    train = Features.load(files / "train.npz").with_head(Head.load(files / "head.npz"))
    result = rescue(train)
    result.evaluate(Features.load(files / "test.npz"))
    assert np.array_equal(Head.load(out / "head.safetensors").weight, result.retrained.weight)
    for name, evaluation in result.evaluations.items():
        assert said[name]["harmonic_mean"] == evaluation.harmonic_mean


def test_evaluation_json_is_what_was_promised(everyclass: Command, files: Path) -> None:
    """Keys and types that stay for ever; class 3 has no test image, and so no recall."""
    test = dict(np.load(files / "test.npz"))
    rows = test["labels"] != 3
    np.savez(files / "some.npz", **{name: array[rows] for name, array in test.items()})
    done = everyclass(
        "rescue", files / "train.npz", "--head", files / "head.npz", "--test",
        files / "some.npz", "--val", files / "val.npz", "--out", files / "out", *QUICK, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.err == ""
    said = read_json((files / "out" / "evaluation.json").read_text())
    assert read_json(done.out) == said
    for name in ("old", "retrained", "ensemble"):
        numbers = said[name]
        for key in NUMBERS:
            assert type(numbers[key]) is float
            assert 0 <= numbers[key] <= 1
        recall = numbers["per_class_recall"]
        assert len(recall) == 4
        assert [type(r) for r in recall] == [float, float, float, type(None)]
        assert numbers["lowest_recall"] == min(recall[:3])
        assert numbers["untestable"] == [3]
        stored = evaluate(Predictions.load(files / "out" / f"{name}.npz"))
        assert stored.per_class_recall[:3].tolist() == recall[:3]
    assert set(said["verdict"]) == {"use", "reason", "decided_on", "compared"}
    assert said["verdict"]["use"] in ("old", "retrained", "ensemble")
    assert said["verdict"]["decided_on"] == "validation data"
    result = read_json((files / "out" / "result.json").read_text())
    assert result["settings"]["retraining"]["penalty"] == 0.01
    assert "torch" in result["versions"]


def test_a_lowest_recall_of_zero_stays_zero(everyclass: Command, files: Path) -> None:
    head = dict(np.load(files / "head.npz"))
    head["bias"][3] = -100  # class 3 is never predicted
    np.savez(files / "head.npz", **head)
    done = everyclass(
        "rescue", files / "train.npz", "--head", files / "head.npz", "--test",
        files / "test.npz", "--val", files / "val.npz", "--out", files / "out", *QUICK, "--json",
    )  # fmt: skip
    said = read_json(done.out)
    assert said["old"]["lowest_recall"] == 0.0
    assert said["old"]["harmonic_mean"] > 0  # where the zero is replaced, and said to be
    assert said["old"]["zeros_replaced"] == 1
    assert said["old"]["never_predicted"] == [3]
    assert said["verdict"]["use"] != "old"


def test_without_a_head_and_without_a_test_set(everyclass: Command, files: Path) -> None:
    done = everyclass("rescue", files / "train.npz", "--out", files / "out", *QUICK)
    assert done.code == 0, done.err
    assert "--test" in done.out
    said = read_json((files / "out" / "evaluation.json").read_text())
    assert not {"old", "retrained", "ensemble"} & set(said)
    assert said["verdict"]["decided_on"] == "cross-fitting on the training features"
    assert names_in(files / "out") == FILES - {
        "old.npz", "retrained.npz", "ensemble.npz", "diagnosis.json"
    }  # fmt: skip


def test_views_and_class_names(everyclass: Command, files: Path) -> None:
    train = dict(np.load(files / "train.npz"))
    train["features"] = np.stack([train["features"], train["features"] + 0.1])
    names = np.array(["cat", "dog", "fox", "<lynx>"])
    np.savez(files / "train.npz", **train, class_names=names)
    done = everyclass(
        "rescue", files / "train.npz", "--test", files / "test.npz", "--val", files / "val.npz",
        "--out", files / "out", *QUICK,
    )  # fmt: skip
    assert done.code == 0, done.err
    said = read_json((files / "out" / "evaluation.json").read_text())
    assert said["retrained"]["class_names"] == names.tolist()
    assert "<lynx>" not in (files / "out" / "report.html").read_text()


def test_what_is_ahead_of_gml_is_named(everyclass: Command, files: Path) -> None:
    """The old head's best offset; GML under such a penalty has nothing to say."""
    done = everyclass(
        "rescue", files / "train.npz", "--head", files / "head.npz", "--val", files / "val.npz",
        "--out", files / "out", "--penalty", "1e6", "-q",
    )  # fmt: skip
    assert done.code == 0, done.err
    said = read_json((files / "out" / "evaluation.json").read_text())
    means = {each["name"]: each["harmonic_mean"] for each in said["candidates"]}
    assert max(means, key=lambda name: means[name]) == "additive"
    lead = 100 * (means["additive"] - means[said["strategy"]["best"]])
    best = said["strategy"]["best"]
    assert f"additive is {lead:.1f} points of harmonic mean ahead of {best} there" in done.out


def test_class_names_from_a_file(everyclass: Command, files: Path) -> None:
    (files / "names.txt").write_text("cat\ndog\nfox\nlynx\n")
    done = everyclass(
        "rescue", files / "train.npz", "--class-names", files / "names.txt", "--test",
        files / "test.npz", "--val", files / "val.npz", "--out", files / "out", *QUICK,
    )  # fmt: skip
    assert done.code == 0, done.err
    said = read_json((files / "out" / "evaluation.json").read_text())
    assert said["retrained"]["class_names"] == ["cat", "dog", "fox", "lynx"]
    (files / "names.txt").write_text("cat\ndog\n")
    done = everyclass(
        "rescue", files / "train.npz", "--class-names", files / "names.txt", "--out", files / "new"
    )
    done.refused("names.txt does not fit", "train.npz")
    assert not (files / "new").exists()


def test_what_the_old_classifier_never_predicts_is_named(everyclass: Command, files: Path) -> None:
    head = Head.load(files / "head.npz")
    mute = Head(head.weight, head.bias - 1000 * (np.arange(4) == 2))
    mute.save(files / "mute.npz")
    done = everyclass(
        "rescue", files / "train.npz", "--head", files / "mute.npz", "--test", files / "test.npz",
        "--out", files / "out", *QUICK,
    )  # fmt: skip
    assert "Never predicted by the old classifier: 2." in done.out


def test_a_head_kept_beside_the_features(everyclass: Command, files: Path) -> None:
    head = dict(np.load(files / "head.npz"))
    np.savez(
        files / "both.npz",
        **np.load(files / "train.npz"),
        head_weight=head["weight"],
        head_bias=head["bias"],
    )
    done = everyclass("rescue", files / "both.npz", "--out", files / "out", *QUICK)
    assert done.code == 0, done.err
    old = Head.load(files / "out" / "old-head.safetensors")
    assert np.array_equal(old.weight, head["weight"])


def test_keep_old_keeps_the_rows_of_missing_classes(everyclass: Command, files: Path) -> None:
    train = dict(np.load(files / "train.npz"))
    rows = train["labels"] != 2
    np.savez(files / "some.npz", **{name: array[rows] for name, array in train.items()})
    arguments = (
        "rescue", files / "some.npz", "--head", files / "head.npz", "--out", files / "out",
    )  # fmt: skip
    refused = everyclass(*arguments, *QUICK)
    refused.refused("1 class has no training image: class 2", "--missing-classes keep-old")
    done = everyclass(*arguments, "--missing-classes", "keep-old", *QUICK)
    assert done.code == 0, done.err
    with np.load(files / "head.npz") as stored:
        old = dict(stored)
    new = Head.load(files / "out" / "head.safetensors")
    t = read_json((files / "out" / "result.json").read_text())["settings"]["fitted_temperatures"]
    np.testing.assert_allclose(t["retrained"] * new.weight[2], old["weight"][2], rtol=1e-6)
    assert t["retrained"] * new.bias[2] == pytest.approx(old["bias"][2], rel=1e-6)
    assert not np.allclose(t["retrained"] * new.weight[1], old["weight"][1], rtol=1e-3)


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_test_set_that_was_seen_is_told(everyclass: Command, files: Path, part: str) -> None:
    common = ("rescue", files / "train.npz", "--head", files / "head.npz", *QUICK)
    seen = ("--val", files / "val.npz", "--test", files / f"{part}.npz", "--out", files / "out")
    done = everyclass(*common, *seen)
    assert done.code == 0
    name = {"train": "training", "val": "validation"}[part]
    assert f"Warning: 100% of the test rows are {name} rows, number by number" in done.err


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (("--penalty", "5"), "--penalty"),
        (("--solver", "minibatch", "--epochs", "3"), "--epochs and --solver"),
        (("--no-reweight",), "--no-reweight"),
        (("--solver", "minibatch", "--resample"), "--resample and --solver"),
    ],
)
def test_offsets_take_no_settings_of_retraining(
    everyclass: Command, files: Path, options: tuple[str, ...], flag: str
) -> None:
    for strategy in ("additive", "offsets", "tau_norm"):
        done = everyclass(
            "rescue", files / "train.npz", "--strategy", strategy, *options, "--out", files / "out"
        )
        done.refused(f"{flag} go", f"with retraining, and the strategy {strategy} retrains nothing")
    assert not (files / "out").exists()


def test_only_the_folder_of_a_rescue_is_replaced(everyclass: Command, files: Path) -> None:
    rescued = ("rescue", files / "train.npz", *QUICK, "--overwrite", "--out")
    mine = files / "mine"
    mine.mkdir()
    (mine / "old.npz").write_bytes(b"predictions")
    (mine / "notes.txt").write_text("mine")
    everyclass(*rescued, mine).refused(f"{mine} holds old.npz and is no earlier rescue's")
    assert names_in(mine) == {"old.npz", "notes.txt"}
    (mine / "old.npz").unlink()
    for _ in range(2):
        assert everyclass(*rescued, mine).code == 0
    assert (mine / "notes.txt").read_text() == "mine"
    run = files / "run"
    run.mkdir()
    (run / "config.json").write_text("{}")
    everyclass(*rescued, run).refused(f"{run} holds config.json and is no earlier rescue's")


@pytest.mark.parametrize("survived", range(5))
def test_a_rescue_that_was_killed_while_files_took_their_places_can_be_made_again(
    everyclass: Command, files: Path, survived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = files / "out"
    rescued = ("rescue", files / "train.npz", *QUICK, "--out", out)
    moved = 0
    move = os.replace

    def killed(source: Any, place: Any) -> None:
        nonlocal moved
        if Path(place).parent == out:
            if moved == survived:
                raise KeyboardInterrupt  # no file moves after a kill
            moved += 1
        move(source, place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        done = everyclass(*rescued)
    assert done.code != 0
    assert everyclass(*rescued, "--overwrite").code == 0


def test_progress_goes_to_stderr(everyclass: Command, files: Path) -> None:
    done = everyclass("rescue", files / "train.npz", "--out", files / "out", "--solver",
                      "minibatch", "--penalty", "0.01", "--json")  # fmt: skip
    assert done.code == 0
    assert "retraining: 2,140/2,140 rows" in done.err
    read_json(done.out)


# --- bad input ------------------------------------------------------------------------------------


def changed(path: Path, **arrays: Any) -> None:
    """Replace arrays of an ``.npz``; None takes one away."""
    stored = {**np.load(path), **arrays}
    np.savez(path, **{name: array for name, array in stored.items() if array is not None})


def labels_of(files: Path) -> np.ndarray:
    return np.load(files / "train.npz")["labels"].copy()  # type: ignore[no-any-return]


def features_of(files: Path) -> np.ndarray:
    return np.load(files / "train.npz")["features"].copy()  # type: ignore[no-any-return]


def with_entry(array: np.ndarray, where: Any, value: Any) -> np.ndarray:
    array[where] = value
    return array


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def claim_terabytes(path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 6), }"
    header = header.ljust(117) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        archive.writestr("features.npy", member + bytes(1000))


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def with_pickle(files: Path) -> None:
    payload = np.array([Payload(str(files / "executed"))], dtype=object)
    np.savez(files / "train.npz", features=features_of(files), labels=payload, allow_pickle=True)


BAD: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "label too large": (
        lambda f: changed(f / "train.npz", labels=with_entry(labels_of(f), 3, 4)),
        ("labels[3] is 4, outside 0..3", "train.npz", "head.npz"),
    ),
    "negative label": (
        lambda f: changed(f / "train.npz", labels=with_entry(labels_of(f), 3, -1)),
        ("train.npz", "labels[3] is -1"),
    ),
    "float labels": (
        lambda f: changed(f / "train.npz", labels=labels_of(f).astype(float)),
        ("train.npz", "labels must be integers", "astype(int)"),
    ),
    "NaN features": (
        lambda f: changed(f / "train.npz", features=with_entry(features_of(f), (7, 2), np.nan)),
        ("train.npz", "features[7, 2] is nan"),
    ),
    "infinite features": (
        lambda f: changed(f / "train.npz", features=with_entry(features_of(f), (7, 2), np.inf)),
        ("train.npz", "features[7, 2] is inf"),
    ),
    "no images": (
        lambda f: changed(f / "train.npz", features=np.empty((0, 6)), labels=np.empty(0, int)),
        ("train.npz", "empty"),
    ),
    "lengths differ": (
        lambda f: changed(f / "train.npz", labels=labels_of(f)[:-1]),
        ("train.npz", "labels has 106 entries where 107 are needed"),
    ),
    "four axes": (
        lambda f: changed(f / "train.npz", features=np.ones((1, 1, 107, 6))),
        ("train.npz", "features must have 2 or 3 dimensions"),
    ),
    "a class without images": (
        lambda f: changed(f / "train.npz", labels=np.where(labels_of(f) == 3, 2, labels_of(f))),
        ("1 class has no training image: class 3", "--missing-classes keep-old"),
    ),
    "one class only": (
        lambda f: changed(f / "train.npz", labels=np.zeros(107, int)),
        ("no training image: class 1, class 2, class 3",),
    ),
    "head too wide": (
        lambda f: changed(f / "head.npz", weight=np.ones((4, 7))),
        ("head.npz", "takes features of width 7 and these have 6"),
    ),
    "head of too few classes": (
        lambda f: changed(f / "head.npz", weight=np.ones((3, 6)), bias=np.ones(3)),
        ("head.npz", "is 3, outside 0..2"),
    ),
    "head with a bias of another length": (
        lambda f: changed(f / "head.npz", bias=np.ones(5)),
        ("head.npz", "weight has 4 classes and its bias 5"),
    ),
    "head with NaN": (
        lambda f: changed(f / "head.npz", bias=np.full(4, np.nan)),
        ("head.npz", "bias[0] is nan"),
    ),
    "head without weight": (
        lambda f: changed(f / "head.npz", weight=None),
        ("head.npz", "no array 'weight'", "it has bias"),
    ),
    "features without their name": (
        lambda f: changed(f / "train.npz", features=None, x=np.ones((107, 6))),
        ("train.npz", "no array 'features'", "labels, x"),
    ),
    "labels without their name": (
        lambda f: changed(f / "train.npz", labels=None, y=np.ones(107)),
        ("train.npz", "no array 'labels'"),
    ),
    "pickled objects": (with_pickle, ("train.npz", "pickled Python objects")),
    "truncated": (lambda f: truncate(f / "train.npz"), ("train.npz", "not a readable .npz")),
    "truncated head": (lambda f: truncate(f / "head.npz"), ("head.npz", "not a readable .npz")),
    "text": (
        lambda f: (f / "train.npz").write_text("features,labels\n") and None,
        ("train.npz", "not a readable .npz"),
    ),
    "nothing": (lambda f: (f / "train.npz").write_bytes(b"") and None, ("train.npz",)),
    "terabytes": (
        lambda f: claim_terabytes(f / "train.npz"),
        ("train.npz", "claims 24,000,000,000,000 bytes"),
    ),
    "missing file": (
        lambda f: (f / "train.npz").unlink(),
        ("no features file or run at", "train.npz"),
    ),
    "missing head": (lambda f: (f / "head.npz").unlink(), ("no head file at", "head.npz")),
    "missing test": (
        lambda f: (f / "test.npz").unlink(),
        ("no file of test features at", "test.npz"),
    ),
    "test features of another network": (
        lambda f: changed(f / "test.npz", features=np.ones((160, 7))),
        ("test.npz", "width 7", "have 6", "different networks"),
    ),
    "test label that training does not know": (
        lambda f: changed(f / "test.npz", labels=np.arange(160)),
        ("test.npz", "labels[4] is 4"),
    ),
    "validation features of another network": (
        lambda f: changed(f / "val.npz", features=np.ones((100, 5))),
        ("val.npz", "width 5"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_touches_nothing(
    case: str, everyclass: Command, files: Path
) -> None:
    damage, words = BAD[case]
    damage(files)
    arguments = (
        "rescue", files / "train.npz", "--head", files / "head.npz", "--test",
        files / "test.npz", "--val", files / "val.npz", *QUICK,
    )  # fmt: skip
    everyclass(*arguments, "--out", files / "out").refused(*words)
    assert not (files / "out").exists() or not names_in(files / "out")
    assert not (files / "executed").exists()
    # Nor are earlier results touched where they may be replaced.
    (files / "earlier").mkdir()
    (files / "earlier" / "old-head.safetensors").write_text("earlier")
    before = content(files / "earlier")
    everyclass(*arguments, "--out", files / "earlier", "--overwrite").refused(*words)
    assert content(files / "earlier") == before


def test_one_class_only_without_a_head(everyclass: Command, files: Path) -> None:
    changed(files / "train.npz", labels=np.zeros(107, int))
    done = everyclass("rescue", files / "train.npz", "--out", files / "out", *QUICK)
    done.refused("one class only")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--objective", "focal"), ("objective must be one of gml", "'focal'")),
        (("--solver", "adam"), ("solver must be one of exact", "'adam'")),
        (("--resample",), ("mini-batches",)),
        (("--penalty", "-1"), ("penalty must be at least 0",)),
        (("--missing-classes", "drop"), ("'error' or 'keep-old'", "'drop'")),
    ],
)
def test_settings_that_cannot_be(
    options: tuple[str, ...], words: tuple[str, ...], everyclass: Command, files: Path
) -> None:
    done = everyclass("rescue", files / "train.npz", "--out", files / "out", *options, "-q")
    done.refused(*words)


def test_the_folder_has_to_be_named(everyclass: Command, files: Path) -> None:
    everyclass("rescue", files / "train.npz").refused("--out")


def test_a_run_takes_no_head(everyclass: Command, files: Path) -> None:
    done = everyclass("rescue", files, "--head", files / "head.npz", "--out", files / "out")
    done.refused("--head, --test, --class-names go with a features file")
    everyclass("rescue", files, "--out", files / "out").refused("is not a run", "config.json")


# --- folders that cannot be written to ------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_refused(everyclass: Command, files: Path) -> None:
    out = files / "out"
    out.mkdir()
    for name in ("evaluation.json", "old-head.safetensors"):
        (out / name).write_text("earlier")
    (out / "thesis.tex").write_text("mine")
    arguments = (
        "rescue", files / "train.npz", "--test", files / "test.npz", "--val", files / "val.npz",
        "--out", out,
    )  # fmt: skip
    everyclass(*arguments, *QUICK).refused("is not empty", "--overwrite", str(out))
    assert names_in(out) == {"evaluation.json", "old-head.safetensors", "thesis.tex"}
    assert everyclass(*arguments, "--overwrite", *QUICK).code == 0
    assert names_in(out) == FILES | {"thesis.tex"}
    assert (out / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--views", 10), "--views goes with a run"),
        (("--epochs", 5), "--epochs goes with --solver minibatch"),
        (("--epochs", 5, "--batch-size", 64), "--epochs and --batch-size"),
        (("--solver", "running", "--objective", "cross_entropy"), "class means of GML"),
        (("--device", "cuda"), "--device goes with a run"),
        (("--data-root", "x"), "--data-root goes with a run"),
        (("--val", "rest"), "--val rest goes with a run"),
        (("--strategy", "best"), "must be one of gml"),
        (("--objective", "cross_entropy", "--no-reweight"), "a part of GML"),
    ],
)
def test_options_that_do_not_apply_leave_no_folder(
    options: tuple[Any, ...], said: str, everyclass: Command, files: Path
) -> None:
    everyclass("rescue", files / "train.npz", "--out", files / "new", *options).refused(said)
    assert not (files / "new").exists()


@pytest.mark.parametrize("place", ["train.npz/out", "train.npz"])
def test_a_folder_that_cannot_be_made(place: str, everyclass: Command, files: Path) -> None:
    before = content(files)
    done = everyclass("rescue", files / "train.npz", "--out", files / place, *QUICK)
    done.refused(str(files / place))
    assert content(files) == before


def test_a_folder_without_permission(
    everyclass: Command, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so that the system's answer is given in its place."""
    closed = files / "closed"
    closed.mkdir()
    mkstemp = os.open

    def denied(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if str(path).startswith(str(closed)) and flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return mkstemp(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", denied)
    done = everyclass("rescue", files / "train.npz", "--out", closed, *QUICK)
    done.refused("no permission to write there", str(closed))
    assert not names_in(closed)


def test_a_full_disk_leaves_the_earlier_results(
    everyclass: Command, files: Path, small_disk: Callable[[str], Path]
) -> None:
    arguments = (
        "rescue", files / "train.npz", "--test", files / "test.npz", "--val", files / "val.npz",
        *QUICK,
    )  # fmt: skip
    assert everyclass(*arguments, "--out", files / "out").code == 0
    size = sum(p.stat().st_size for p in (files / "out").iterdir())
    disk = small_disk(f"{int(1.5 * size / 1024)}k")
    assert everyclass(*arguments, "--out", disk / "out").code == 0
    before = content(disk / "out")
    done = everyclass(*arguments, "--out", disk / "out", "--overwrite", "--penalty", "0.1")
    done.refused("Cannot write", "the disk is full", code=1)
    assert content(disk / "out") == before


# --- Ctrl-C ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stage",
    [
        "everyclass.stages.retraining.crossfitting.fit_exact",
        "everyclass.stages.retraining.retraining.fit_exact",
        "everyclass.stages.choosing.old_answers.match_confidence",
        "everyclass.stages.choosing.strategies.decide",
        "everyclass.stages.rescuing.result.evaluate",
        "everyclass.stages.rescuing.result.write_json",
        "everyclass.reporting.write_as",
        "everyclass.artifacts.features.read_npz",
    ],
)
def test_ctrl_c_in_every_stage(
    stage: str, everyclass: Command, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    arguments = (
        "rescue", files / "train.npz", "--head", files / "head.npz", "--test",
        files / "test.npz", "--penalty", "0.1", "-q",
    )  # fmt: skip
    (files / "earlier").mkdir()
    (files / "earlier" / "old-head.safetensors").write_text("earlier")
    before = content(files / "earlier")
    monkeypatch.setattr("everyclass.stages.retraining.retraining.PENALTIES", (0.1, 0.01))
    monkeypatch.setattr(stage, interrupted)
    for out, options in ((files / "earlier", ("--overwrite",)), (files / "out", ())):
        done = everyclass(*arguments, "--out", out, *options)
        assert done.code == 130
        assert done.out == ""
        assert done.err == "Interrupted; what was finished is kept.\n"
    assert content(files / "earlier") == before
    assert not (files / "out").exists() or not names_in(files / "out")
