"""From a tree of pictures with damaged files in it to a report, by the commands."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from everyclass.artifacts import Features

CLASSES = 20
SIZES = {
    "train": [max(2, round(40 * 0.05 ** (c / (CLASSES - 1)))) for c in range(CLASSES)],
    "val": [2] * CLASSES,
    "test": [3] * CLASSES,
}


def a_picture(label: int, rng: np.random.Generator) -> bytes:
    """Stripes whose direction and colour say the class, in a picture of any shape."""
    height, width = rng.integers(30, 70, 2)
    y, x = np.mgrid[:height, :width]
    angle = np.pi * label / CLASSES
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 3 + rng.uniform(0, 6))
    colour = np.array([(label * 37) % 90, (label * 61) % 90, (label * 17) % 90])
    pixels = 110 + 50 * wave[..., None] + colour + rng.normal(0, 12, (height, width, 3))
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shaped like ImageNet-LT: lists ``path label``; one file missing, one cut, one no picture."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for part, sizes in SIZES.items():
        lines = []
        for label, size in enumerate(sizes):
            folder = root / part / f"n{label:08}"
            folder.mkdir(parents=True)
            for number in range(size):
                path = folder / f"{part}_{number}.JPEG"
                path.write_bytes(a_picture(label, rng))
                lines.append(f"{path.relative_to(root)} {label}\n")
        (root / f"{part}.txt").write_text("".join(lines))
    bad = [root / "train" / "n00000000" / f"train_{n}.JPEG" for n in (3, 5)]
    bad[0].unlink()
    bad[1].write_bytes(bad[1].read_bytes()[:300])
    (root / "test" / "n00000002" / "test_1.JPEG").write_text("no picture")
    return root


def data_of(tree: Path) -> str:
    return f"list:{tree}/train.txt,val={tree}/val.txt,test={tree}/test.txt,size=32"


def test_bad_pictures_are_found_and_end_what_is_not_told_to_skip_them(
    tree: Path, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    checked = everyclass(
        "data", "check", data_of(tree), "--decode", "--bad", tmp_path / "bad.csv", "--workers", 0,
        "--quiet",
    )  # fmt: skip
    assert checked.code == 1
    assert "3 pictures cannot be used" in checked.err
    assert f"train  {sum(SIZES['train']):>9,} images, 20 classes, largest 40" in checked.out
    assert f"val    {sum(SIZES['val']):>9,} images, 20 classes, largest 2" in checked.out
    with open(tmp_path / "bad.csv", newline="") as stream:
        found = {Path(row["path"]).name: row["reason"] for row in csv.DictReader(stream)}
    assert found["train_3.JPEG"] == "no such file"
    assert set(found) == {"train_3.JPEG", "train_5.JPEG", "test_1.JPEG"}
    extract = ("extract", "--data", data_of(tree), "--backbone", "resnet32", "--weights", "none")
    refused = everyclass(*extract, "--out", tmp_path / "x.npz", "--workers", 0, "--quiet")
    refused.refused("train_3.JPEG", "no such file", "--bad-images skip")
    assert not (tmp_path / "x.npz").exists()


def test_pictures_that_are_all_bad_are_counted_and_listed(
    tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        (tmp_path / "pictures" / name / "1.jpg").write_text("no picture")
    checked = everyclass(
        "data", "check", f"folder:{tmp_path}/pictures", "--decode", "--bad", tmp_path / "bad.csv",
        "--workers", 0, "--quiet",
    )  # fmt: skip
    assert checked.code == 1
    assert "2 images, 2 classes" in checked.out
    assert "2 pictures cannot be used" in checked.err
    assert len((tmp_path / "bad.csv").read_text().splitlines()) == 3


def test_pictures_that_are_there_twice_are_named(
    tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    lines = ["a.jpg 0", "b.jpg 1", "./a.jpg 0", "c.jpg 1"]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    check = ("data", "check", f"list:{tmp_path}/train.txt")
    for option in (("--bad", "b.csv"), ("--workers", 2)):
        everyclass(*check, *option).refused(f"{option[0]} goes with --decode")
    twice = everyclass(*check)
    assert twice.code == 0
    assert f"1 of them more than once, such as {tmp_path}/a.jpg" in twice.out
    (tmp_path / "train.txt").write_text("\n".join([*lines, "c.jpg 0"]))
    torn = everyclass(*check, "--json")
    assert torn.code == 2
    said = f"1 train image is there under more than one class, such as {tmp_path}/c.jpg"
    assert said in torn.err
    assert json.loads(torn.out)["problems"] == [f"{said}; leave one line of each."]
    repeats = json.loads(torn.out)["repeats"]["train"]
    assert (repeats["pictures"], repeats["two_classes"]) == (2, 1)


def test_everything_that_is_wrong_is_said_at_once(
    tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    (tmp_path / "train.txt").write_text("a.jpg 0\nb.jpg 2\n./a.jpg 2\n")
    (tmp_path / "test.txt").write_text("\x1b[31mc.jpg 0\n./\x1b[31mc.jpg 2\n")
    check = (
        "data", "check", f"list:{tmp_path}/train.txt,test={tmp_path}/test.txt", "--decode", "--bad",
        tmp_path / "bad.csv", "--workers", 0, "--quiet",
    )  # fmt: skip
    done = everyclass(*check)
    assert done.code == 2
    assert "3 images, 2 classes, largest 2, smallest 1, 1 class without any" in done.out
    assert "1 of them more than once, such as " in done.out
    train, test, bad = done.err.splitlines()
    assert "1 train image is there under more than one class" in train
    assert "1 test image is there under more than one class" in test
    assert "5 pictures cannot be used" in bad
    assert "\x1b" not in done.out + done.err
    assert "\\x1b[31mc.jpg" in done.out
    assert "\\x1b[31mc.jpg" in test
    assert len((tmp_path / "bad.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize("file", ["train.txt", "a.jpg", "notes.md"])
def test_the_list_of_bad_pictures_replaces_nothing_else(
    file: str, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    (tmp_path / "a.jpg").write_bytes(a_picture(0, np.random.default_rng(0)))
    (tmp_path / "train.txt").write_text("a.jpg 0\n")
    (tmp_path / "notes.md").write_text("mine")
    before = (tmp_path / file).read_bytes()
    for more in ("", "no.jpg 0\n"):
        if file != "train.txt":
            (tmp_path / "train.txt").write_text(f"a.jpg 0\n{more}")
        everyclass(
            "data", "check", f"list:{tmp_path}/train.txt", "--decode", "--bad", tmp_path / file
        ).refused(file, "name another file")
        assert (tmp_path / file).read_bytes() == before
    assert everyclass("data", "check", f"list:{tmp_path}/train.txt").code == 0


def test_a_file_called_as_the_list_of_bad_pictures_ends_an_extraction_before_it_begins(
    tree: Path, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    (tmp_path / "x.bad-images.csv").write_text("mine")
    extract = ("extract", "--data", data_of(tree), "--backbone", "no-such-net", "--workers", 0)
    everyclass(*extract, "--out", tmp_path / "x.npz").refused("x.bad-images.csv", "not replaced")
    assert (tmp_path / "x.bad-images.csv").read_text() == "mine"


def test_a_place_that_cannot_be_written_ends_an_extraction_before_it_begins(
    tree: Path, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    extract = ("extract", "--data", data_of(tree), "--backbone", "no-such-net", "--workers", 0)
    refused = everyclass(*extract, "--out", tmp_path / "file" / "x.npz")
    refused.refused("file is a file, not a folder; name another output folder")


def test_a_chunk_of_bad_pictures_only_is_left_out_like_any_other(
    tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    good = a_picture(0, np.random.default_rng(0))
    for name, count, content in (("bee", 3, good), ("cat", 253, good), ("dog", 2, b"junk")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "pictures" / name / f"{i}.jpg").write_bytes(content)
    extract = (
        "extract", "--data", f"folder:{tmp_path}/pictures,size=32", "--backbone", "resnet32",
        "--weights", "none", "--bad-images", "skip", "--workers", 0, "--views", 2, "--quiet",
    )  # fmt: skip
    made = everyclass(*extract, "--out", tmp_path / "features")  # in chunks of 256
    assert made.code == 0, made.err
    features = Features.load(tmp_path / "features")
    assert features.views.shape == (2, 256, 64)
    assert features.class_counts.counts.tolist() == [3, 253, 0]
    assert np.array_equal(features.take(np.array([2, 3])).labels, [0, 1])
    assert features.views.any(axis=2).all()
    features.verify()
    assert "2 bad pictures left out" in made.err + made.out


def test_a_folder_of_bad_pictures_only_is_no_features(
    tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        (tmp_path / "pictures" / name / "1.jpg").write_bytes(b"junk")
    everyclass(
        "extract", "--data", f"folder:{tmp_path}/pictures,size=32", "--backbone", "resnet32",
        "--weights", "none", "--bad-images", "skip", "--workers", 0, "--quiet",
        "--out", tmp_path / "features",
    ).refused("None of the 2 pictures can be used", "cat/1.jpg", "is this the data?")  # fmt: skip


def test_features_in_a_folder_are_replaced_only_when_asked(
    tree: Path, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    folder = tmp_path / "features"
    extract = (
        "extract", "--data", data_of(tree), "--backbone", "resnet32", "--weights", "none",
        "--bad-images", "skip", "--part", "test", "--workers", 0, "--out", folder, "--quiet",
    )  # fmt: skip
    assert everyclass(*extract).code == 0
    everyclass(*extract, "--views", 2).refused("num_views", "--overwrite")
    (folder / "notes.txt").write_text("mine")
    everyclass(*extract, "--views", 2, "--overwrite").refused("notes.txt", "another folder")
    assert Features.load(folder).num_views == 1
    wrong = [*extract, "--overwrite"]
    wrong[wrong.index("--backbone") + 1] = "no-such-net"
    everyclass(*wrong).refused("no-such-net")
    assert Features.load(folder).num_views == 1
    (folder / "notes.txt").unlink()
    assert everyclass(*extract, "--views", 2, "--overwrite").code == 0
    assert Features.load(folder).num_views == 2


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("size", "plan.images.cut.size: 32 there, 48 asked"),
        ("policy", "plan.images.bad_images: skip there, fail asked"),
        ("pictures", "plan.images.pictures"),
    ],
)
def test_features_of_other_pictures_are_not_gone_on_with(
    other: str, said: str, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        (tmp_path / "pictures" / name / "1.jpg").write_bytes(a_picture(label, rng))
    extract = ["extract", "--data", f"folder:{tmp_path}/pictures,size=32", "--backbone", "resnet32"]
    extract += ["--weights", "none", "--workers", 0, "--out", tmp_path / "x", "--quiet"]
    extract += ["--bad-images", "skip"]
    assert everyclass(*extract).code == 0
    assert everyclass(*extract).code == 0
    if other == "size":
        extract[2] = extract[2].replace("32", "48")
    elif other == "policy":
        extract[-1] = "fail"
    else:
        (tmp_path / "pictures" / "cat" / "1.jpg").write_bytes(a_picture(1, rng))
    everyclass(*extract).refused("begun with another plan", said, "--overwrite")


def test_a_network_of_another_size_of_pictures_is_refused_at_once(
    tree: Path, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    run = ("pretrain", "ce", "--data", data_of(tree), "--backbone", "mlp", "--out", tmp_path / "r")
    everyclass(*run, "--quiet").refused("mlp does not take pictures of 32 × 32 pixels", "size=")


def test_pretrain_extract_rescue_evaluate_report(
    tree: Path, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    data, skip = ("--data", data_of(tree)), ("--bad-images", "skip", "--quiet")
    run = tmp_path / "run"
    trained = everyclass(
        "pretrain", "ce", *data, *skip, "--backbone", "resnet32", "--epochs", 1, "--out", run,
        "--workers", 2,
    )  # fmt: skip
    assert trained.code == 0, trained.err
    assert "3 bad pictures were left out" in trained.out
    assert json.loads((run / "result.json").read_text())["bad_images"] == 3
    for part in SIZES:
        done = everyclass(
            "extract", *data, *skip, "--backbone", run, "--part", part, "--out",
            tmp_path / f"{part}.npz", "--workers", 0,
        )  # fmt: skip
        assert done.code == 0, done.err
    train, test = (Features.load(tmp_path / f"{part}.npz") for part in ("train", "test"))
    assert len(train) == sum(SIZES["train"]) - 2
    assert len(test) == sum(SIZES["test"]) - 1
    assert train.head is not None
    assert train.ids is not None
    assert "train/n00000000/train_3.JPEG" not in train.ids.tolist()
    bad = (tmp_path / "test.bad-images.csv").read_text()
    assert "test_1.JPEG" in bad

    rescued = everyclass(
        "rescue", tmp_path / "train.npz", "--val", tmp_path / "val.npz", "--test",
        tmp_path / "test.npz", "--out", tmp_path / "rescued", "--quiet",
    )  # fmt: skip
    assert rescued.code == 0, rescued.err
    assert (tmp_path / "rescued" / "report.html").stat().st_size > 10_000
    predictions = sorted((tmp_path / "rescued").glob("*.npz"))
    old = next(path for path in predictions if path.stem == "old")
    judged = everyclass("evaluate", old, "--json")
    assert judged.code == 0, judged.err
    assert 0 <= json.loads(judged.out)["accuracy"] <= 1


def by_two_processes(*arguments: Any) -> str:
    """What a command says that two processes work at."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", "everyclass", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_from_pictures_to_features(
    tree: Path, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    data = ("--data", data_of(tree), "--bad-images", "skip", "--quiet", "--workers", 0)
    run = tmp_path / "run"
    said = by_two_processes(
        "pretrain", "ce", *data, "--backbone", "resnet32", "--epochs", 1, "--out", run
    )
    assert said.count("3 bad pictures were left out") == 1
    result = json.loads((run / "result.json").read_text())
    assert (result["processes"], result["bad_images"]) == (2, 3)
    extract = ("extract", *data, "--backbone", run, "--out")
    by_two_processes(*extract, tmp_path / "both")
    alone = everyclass(*extract, tmp_path / "one.npz")
    assert alone.code == 0, alone.err
    both, one = Features.load(tmp_path / "both"), Features.load(tmp_path / "one.npz")
    assert len(both) == sum(SIZES["train"]) - 2
    assert both.labels.tolist() == one.labels.tolist()
    np.testing.assert_allclose(both.views[0][:], one.views[0], rtol=2e-3, atol=2e-3)  # float16
    assert both.ids is not None
    assert one.ids is not None
    assert both.ids.tolist() == one.ids.tolist()
    assert len((tmp_path / "both" / "bad-images.csv").read_text().splitlines()) == 3


def test_the_whole_rescue_of_a_run_of_pictures(
    tree: Path, tmp_path: Path, everyclass: Callable[..., Any]
) -> None:
    run = tmp_path / "run"
    done = everyclass(
        "pretrain", "bsce", "--data", data_of(tree), "--val", "rest", "--bad-images", "skip",
        "--backbone", "resnet32", "--epochs", 1, "--out", run, "--workers", 0, "--quiet",
    )  # fmt: skip
    assert done.code == 0, done.err
    rescued = everyclass("rescue", run, "--views", 2, "--quiet")
    assert rescued.code == 0, rescued.err
    assert (run / "rescue" / "report.html").is_file()
    assert len((run / "rescue" / "bad-images.csv").read_text().splitlines()) == 4


def test_what_a_run_needs(tree: Path, tmp_path: Path, everyclass: Callable[..., Any]) -> None:
    only = f"list:{tree}/train.txt,size=32"
    common = ("--epochs", 1, "--out", tmp_path / "run", "--quiet")
    everyclass("pretrain", "ce", "--data", only, *common).refused("no test images", "test=")
    everyclass("pretrain", "ce", "--data", data_of(tree), "--imbalance-ratio", 50, *common).refused(
        "taken as it is"
    )
    everyclass(
        "extract", "--data", only, "--backbone", "no-such-net", "--out", tmp_path / "x.npz"
    ).refused("no backbone 'no-such-net'")
    everyclass(
        "extract", "--data", only, "--backbone", "resnet32", "--part", "test", "--out",
        tmp_path / "x.npz",
    ).refused("no part 'test'")  # fmt: skip


def test_a_folder_of_features_may_have_dots_in_its_name(
    tmp_path: Path, everyclass: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    extract = ("extract", "--data", "list:gone.txt", "--backbone", "resnet32", "--out")
    Path("there.csv").mkdir()
    for folder in ("feats/resnet50.a1_in1k", "feats/v1.0/", "there.csv"):
        everyclass(*extract, folder).refused("gone.txt")  # which is looked at later
    for file in ("x.safetensors", "x.CSV", "x.pt"):
        everyclass(*extract, file).refused(f"{file} ends in", "x.npz", "or a folder, such as x/")
