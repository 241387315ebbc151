"""`everyclass report` on files of every kind, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from everyclass import EvaluationState, Predictions, evaluate

Command = Callable[..., Any]
LABELS = np.repeat([0, 1, 2], [80, 60, 40])
NAMES = ("cat", "dog", "lynx")
MARK = "<!-- everyclass report -->\n"
IDS = np.array([f"{i:03d}.png" for i in range(180)])


def predicted(recall: list[float]) -> np.ndarray:
    right = np.random.default_rng(0).random(180) < np.array(recall)[LABELS]
    return np.where(right, LABELS, (LABELS + 1) % 3)


OLD, NEW = predicted([0.95, 0.9, 0.1]), predicted([0.7, 0.9, 0.6])


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    for name, said in (("old", OLD), ("new", NEW)):
        Predictions(LABELS, predicted=said, class_names=NAMES, ids=IDS).save(
            tmp_path / f"{name}.npz"
        )
    return tmp_path / "old.npz", tmp_path / "new.npz"


def test_a_page_of_two(everyclass: Command, pair: tuple[Path, Path], tmp_path: Path) -> None:
    counts = tmp_path / "counts.csv"
    counts.write_text("class,count\ncat,500\ndog,50\nlynx,5\n")
    out = tmp_path / "page.html"
    done = everyclass("report", *pair, "--out", out, "--counts", counts, "--title", "Pets")
    assert (done.code, done.out) == (0, f"Report: {out}\n")
    page = out.read_text(encoding="utf-8")
    assert "<title>Pets – report</title>" in page
    assert "serves the weak classes better than" in page
    assert "few training images" in page or "few (≤ 20)" in page
    for part in ("sha256", "files.new.file", "made with.versions.everyclass"):
        assert part in page.replace("<wbr>", "")


def test_a_comment_with_gates(everyclass: Command, pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "comment.md"
    done = everyclass(
        "report", *pair, "--out", out, "--names", "main,this branch", "--fail-if", "accuracy < 99%"
    )
    assert done.code == 1
    text = out.read_text(encoding="utf-8")
    assert text.startswith(MARK + "### `this branch` serves the weak classes better than `main`")
    assert "**1 of 1 gates failed**" in text
    assert "1 of 1 gate failed" in done.err
    html = everyclass("report", *pair, "--out", out.with_suffix(".txt"), "--format", "md", "-q")
    assert (html.code, html.out) == (0, "")
    assert out.with_suffix(".txt").read_text(encoding="utf-8").startswith(MARK + "### `new`")


@pytest.mark.parametrize("ending", ["csv", "parquet", "npy", "state.npz", "json"])
def test_every_form_is_read(everyclass: Command, ending: str, tmp_path: Path) -> None:
    path, more = tmp_path / f"said.{ending}", []
    rows = {"labels": LABELS.tolist(), "predicted": OLD.tolist()}
    if ending == "csv":
        lines = [f"{a},{b}" for a, b in zip(*rows.values(), strict=True)]
        path.write_text("\n".join(["labels,predicted", *lines]))
    elif ending == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table(rows), path)
    elif ending == "npy":
        np.save(path, OLD)
        np.save(tmp_path / "labels.npy", LABELS)
        more = ["--labels", tmp_path / "labels.npy"]
    elif ending == "json":
        evaluate(labels=LABELS, predicted=OLD).save(path)
    else:
        state = EvaluationState()
        state.update(labels=LABELS, predicted=OLD)
        state.save(path)
    out = tmp_path / "r.md"
    done = everyclass("report", path, *more, "--out", out)
    assert done.code == 0, done.err
    lowest = evaluate(labels=LABELS, predicted=OLD).lowest_recall
    assert f"recognised in {100 * lowest:.1f}% of its images" in out.read_text(encoding="utf-8")


def test_the_baseline_and_what_is_shown(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    third = tmp_path / "third.npz"
    Predictions(LABELS, predicted=LABELS, class_names=NAMES).save(third)
    out = tmp_path / "r.md"
    done = everyclass("report", *pair, third, "--out", out, "--baseline", pair[1], "--show", "old")
    assert done.code == 0, done.err
    text = out.read_text(encoding="utf-8")
    assert text.startswith(MARK + "### `old` serves the weak classes worse")


def test_images_of_errors(everyclass: Command, pair: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in IDS[::2]:
        Image.new("RGB", (8, 8), (200, 0, 0)).save(folder / name)
    out = tmp_path / "r.html"
    assert everyclass("report", *pair, "--out", out, "--images", folder).code == 0
    page = out.read_text(encoding="utf-8")
    assert '<img src="data:image/png;base64,' in page
    assert 'aria-label="cannot be shown"' in page  # every second one is missing


def test_an_id_that_leads_out_of_the_folder(everyclass: Command, tmp_path: Path) -> None:
    ids = np.array(["../secret.png", "b.png"])
    Predictions([0, 1], predicted=[1, 1], ids=ids).save(tmp_path / "p.npz")
    (tmp_path / "images").mkdir()
    out = tmp_path / "r.html"
    done = everyclass("report", tmp_path / "p.npz", "--images", tmp_path / "images", "--out", out)
    done.refused("'../secret.png' leads outside the folder of images")
    assert not out.exists()


def test_names_of_files_and_classes_are_text(everyclass: Command, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    path = tmp_path / f"{evil.replace('/', '')}.npz"
    ids = np.array(['"><script>alert(2)</script>', "b", "c"])
    names = (evil, "</script><script>alert(3)</script>")
    Predictions([0, 1, 1], predicted=[1, 0, 1], class_names=names, ids=ids).save(path)
    out = tmp_path / "r.html"
    assert everyclass("report", path, "--out", out, "--title", evil).code == 0
    page = out.read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<script>alert" not in page


def test_a_stored_certificate_is_shown(everyclass: Command, tmp_path: Path) -> None:
    said = {"method": "ce", "seed": 7}
    np.savez(
        tmp_path / "p.npz", labels=[0, 1], predicted=[0, 1], certificate=np.array(json.dumps(said))
    )
    out = tmp_path / "r.html"
    assert everyclass("report", tmp_path / "p.npz", "--out", out).code == 0
    assert "made by.seed" in out.read_text(encoding="utf-8").replace("<wbr>", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "pdf"], ["--format must be html or md; got 'pdf'"]),
        (["--names", "one"], ["--names must be 2 different names", "'one'"]),
        (["--names", "a,a"], ["--names must be 2 different names"]),
        (["--baseline", "mine"], ["'mine' is none of the classifiers: old, new"]),
        (["--images", "nowhere"], ["nowhere is no folder of images"]),
        (["--fail-if", "nonsense <"], ["nonsense"]),
        (["--counts", "nowhere.csv"], ["nowhere.csv"]),
        (["--format", "md"], ["ends as a file of --format html, and --format is md"]),
    ],
)
def test_what_cannot_be_done_is_said(
    everyclass: Command,
    pair: tuple[Path, Path],
    options: list[str],
    words: list[str],
    tmp_path: Path,
) -> None:
    out = tmp_path / "r.html"
    everyclass("report", *pair, "--out", out, *options).refused(*words)
    assert not out.exists()


def test_other_images_are_refused(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.npz"
    Predictions(LABELS[::-1].copy(), predicted=OLD, class_names=NAMES, ids=IDS).save(other)
    everyclass("report", pair[0], other, "--out", tmp_path / "r.html").refused("is of class")
    everyclass("report", pair[0], pair[0]).refused("The same file was given twice")


@pytest.mark.parametrize("kind", ["json", "state.npz"])
def test_classes_in_another_order_are_the_same_classes(
    everyclass: Command, kind: str, tmp_path: Path
) -> None:
    """Of a balanced test set, whose images per class tell no order from another."""
    labels = np.repeat([0, 1, 2], 60)
    said = np.where(np.arange(180) % 60 < np.array([54, 30, 6])[labels], labels, (labels + 1) % 3)
    for name, place in (("old", [0, 1, 2]), ("new", [2, 1, 0])):
        state = EvaluationState(class_names=[NAMES[c] for c in place])
        state.update(labels=np.array(place)[labels], predicted=np.array(place)[said])
        path = tmp_path / f"{name}.{kind}"
        state.evaluation().save(path) if kind == "json" else state.save(path)
    files, out = (tmp_path / f"old.{kind}", tmp_path / f"new.{kind}"), tmp_path / "r.md"
    done = everyclass("report", *files, "--names", "old,new", "--out", out)
    assert done.code == 0, done.err
    text = out.read_text(encoding="utf-8")
    assert "The harmonic mean of recall is the same with `new` as with `old`." in text
    assert "No class loses recall. The recall of the worst class stays at 10.0%" in text


def test_counts_go_with_an_evaluation(everyclass: Command, tmp_path: Path) -> None:
    said, out, counts = tmp_path / "said.json", tmp_path / "r.html", tmp_path / "counts.csv"
    evaluate(labels=LABELS, predicted=OLD).save(said)
    everyclass("report", said, "--out", out, "--counts", counts).refused("counts.csv")
    counts.write_text("class,count\n0,500\n1,50\n2,5\n")
    done = everyclass("report", said, "--out", out, "--counts", counts)
    assert done.code == 0, done.err
    assert "few (≤ 20)" in out.read_text(encoding="utf-8")


def test_a_gate_of_numbers_without_names_goes_by_number(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    evaluate(labels=LABELS, predicted=NEW).save(tmp_path / "bare.json")
    Predictions(LABELS, predicted=NEW).save(tmp_path / "bare.npz")
    for bare in ("bare.json", "bare.npz"):
        gates = ("--fail-if", f"drop({pair[0]}) > 0.5", "--fail-if", "recall[2] < 0.1")
        done = everyclass("report", tmp_path / bare, "--out", tmp_path / "r.md", *gates)
        assert done.code == 0, done.err


def test_labels_go_with_files_that_have_none(everyclass: Command, tmp_path: Path) -> None:
    Predictions(LABELS, predicted=OLD).save(tmp_path / "old.npz")
    np.save(tmp_path / "new.npy", NEW)
    np.save(tmp_path / "labels.npy", LABELS)
    files, out = (tmp_path / "old.npz", tmp_path / "new.npy"), tmp_path / "r.md"
    done = everyclass("report", *files, "--out", out, "--labels", tmp_path / "labels.npy")
    assert done.code == 0, done.err
    assert "### `new` serves the weak classes better" in out.read_text(encoding="utf-8")
    done = everyclass("report", files[0], "--out", out, "--labels", tmp_path / "labels.npy")
    done.refused("has labels of its own; leave labels (--labels) out")


# --- which file is written ------------------------------------------------------------------------


def test_the_name_of_the_file_follows_the_format(
    everyclass: Command,
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert everyclass("report", *pair, "--format", "md").out == "Report: report.md\n"
    assert Path("report.md").read_text(encoding="utf-8").startswith(MARK + "### `new`")
    assert not Path("report.html").exists()
    assert everyclass("report", *pair, "--format", "html").out == "Report: report.html\n"


def test_another_ending_needs_a_format(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    page = tmp_path / "report.pdf"
    everyclass("report", *pair, "--out", page).refused("report.pdf ends in neither .html nor .md")
    assert not page.exists()
    assert everyclass("report", *pair, "--out", tmp_path / "body.txt", "--format", "md").code == 0
    assert (tmp_path / "body.txt").read_text(encoding="utf-8").startswith(MARK)


def test_only_a_report_is_replaced_by_one(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    for name in ("r.html", "r.md"):
        out = tmp_path / name
        for _ in range(2):  # what is made again in a moment need not be asked for twice
            assert everyclass("report", *pair, "--out", out).code == 0
    (tmp_path / "r.md").replace(tmp_path / "r.html")  # a comment may give way to a page
    assert everyclass("report", pair[0], "--out", tmp_path / "r.html").code == 0
    mine = tmp_path / "index.html"
    for content in ("<h1>Mine</h1>", "everyclass"):
        mine.write_text(content)
        everyclass("report", *pair, "--out", mine).refused("index.html is there and is no report")
        assert mine.read_text() == content
    done = everyclass("report", pair[0], "--out", pair[1], "--format", "md")
    done.refused("new.npz is there and is no report")
    mine.write_text("")
    assert everyclass("report", *pair, "--out", mine).code == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"num_classes": 3}', "[" * 100_000])
def test_a_malformed_evaluation_is_refused(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path, text: str
) -> None:
    path, out = tmp_path / "said.json", tmp_path / "r.html"
    path.write_text(text)
    for files in ([path], [pair[0], path]):
        done = everyclass("report", *files, "--out", out)
        done.refused("said.json")
        assert "Traceback" not in done.err
    assert not out.exists()


def test_a_truncated_evaluation_is_refused(everyclass: Command, tmp_path: Path) -> None:
    path, out = tmp_path / "said.json", tmp_path / "r.html"
    evaluate(labels=LABELS, predicted=OLD).save(path)
    path.write_text(path.read_text(encoding="utf-8")[:-200], encoding="utf-8")
    everyclass("report", path, "--out", out).refused("said.json is not a readable evaluation")
    assert not out.exists()
