"""Small pictures: what is shown, what is broken, and what leads out of the folder."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from everyclass.artifacts import Predictions
from everyclass.errors import InputError
from everyclass.reporting import Judged, Report, pictures_of, report, report_of, report_of_files
from everyclass.reporting.html import render_report
from everyclass.reporting.thumbnails import thumbnail


def decoded(address: str) -> Image.Image:
    kind, data = address.split(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(
    ("shape", "size"),
    [((32, 32, 3), (64, 64)), ((3, 32, 32), (64, 64)), ((28, 28), (56, 56)),
     ((28, 28, 1), (56, 56)), ((400, 200, 3), (36, 72)), ((1000, 1000), (72, 72))],
)  # fmt: skip
def test_any_array_becomes_a_small_picture(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    picture = decoded(thumbnail(np.full(shape, 200, dtype=np.uint8)))
    assert picture.size == size
    assert picture.getpixel((0, 0)) == (200, 200, 200)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_a_picture_of_more_than_8_bits_keeps_its_greys(kind: type, tmp_path: Path) -> None:
    values = np.linspace(1000, 3000, 64 * 64).reshape(64, 64).astype(kind)
    picture = Image.fromarray(values)
    assert picture.mode[0] in "IF"
    assert thumbnail(picture) == thumbnail(values)
    if kind is np.uint16:  # as microscopes and radiographs are stored
        picture.save(tmp_path / "a.png")
        pictures = pictures_of(tmp_path, ["a.png"])
        assert pictures is not None
        (opened,) = pictures([0])
        grey = np.asarray(decoded(thumbnail(opened)).convert("L"))
        assert (grey.min(), grey.max()) == (0, 255)
        assert 120 < grey.mean() < 135


def test_a_thumbnail_is_bounded_and_has_no_metadata() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    address = thumbnail(Image.fromarray(noise))
    assert len(address) < 25_000
    assert not decoded(address).info


@pytest.mark.parametrize("image", [None, np.zeros((2, 2, 2, 2)), np.zeros((0, 0), dtype=np.uint8)])
def test_what_is_no_image_is_empty(image: object) -> None:
    assert thumbnail(image) == ""


def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "a").mkdir(parents=True)
    Image.new("RGB", (100, 50), (255, 0, 0)).save(root / "a" / "red.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no jpeg")
    (root / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage")
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    return root


def test_images_of_a_folder_by_id(tmp_path: Path) -> None:
    root = folder(tmp_path)
    ids = np.array(["a/red.png", "broken.jpg", "missing.png", "script.eps", "a", "null\0.png"])
    pictures = pictures_of(root, ids)
    assert pictures is not None
    red, *others = pictures(range(6))
    assert decoded(thumbnail(red)).getpixel((0, 0)) == (255, 0, 0)
    assert [thumbnail(image) for image in others] == [""] * 5


@pytest.mark.parametrize(
    "name", ["../secret.png", "a/../../secret.png", "{absolute}", "link.png", "out/secret.png"]
)
def test_nothing_outside_the_folder_is_opened(name: str, tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "out").symlink_to(tmp_path)
    name = name.format(absolute=tmp_path / "secret.png")
    pictures = pictures_of(root, np.array([name]))
    assert pictures is not None
    with pytest.raises(InputError, match="leads outside the folder of images"):
        pictures([0])


def test_a_loop_of_links_is_no_image(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "loop.png").symlink_to(root / "loop.png")
    pictures = pictures_of(root, np.array(["loop.png"]))
    assert pictures is not None
    assert pictures([0]) == [None]


def test_an_image_too_large_to_decode_is_not(tmp_path: Path) -> None:
    root = folder(tmp_path)
    Image.new("1", (20_000, 20_000)).save(root / "bomb.png")
    pictures = pictures_of(root, np.array(["bomb.png"]))
    assert pictures is not None
    assert pictures([0]) == [None]


def test_a_folder_needs_ids_and_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have no ids"):
        pictures_of(tmp_path, None)
    with pytest.raises(InputError, match="is no folder"):
        pictures_of(tmp_path / "missing", np.array(["a"]))
    with pytest.raises(InputError, match=r"got shape \(3,\)"):
        pictures_of(np.zeros(3), None)


def test_cards_show_the_errors_that_it_is_surest_of() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    said = Predictions([1, 1, 1, 0, 1], probs=probs, ids=np.array(list("abcde")))
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((5, 8, 8), dtype=np.uint8)
    made = report_of({"m": Judged.of(said)}, title="", settings={}, images=images)
    errors = made.examples[1]
    assert [(e.row, e.id, e.predicted) for e in errors] == [(0, "a", 0), (2, "c", 0), (1, "b", 0)]
    assert [e.probability for e in errors] == pytest.approx([0.9, 0.8, 0.6])
    assert decoded(errors[1].thumbnail or "").getpixel((0, 0)) == (2, 2, 2)
    page = render_report(made)
    assert page.count('<img src="data:image/png;base64,') == 3
    assert "img-src data:;" in page


def test_a_broken_image_is_shown_as_such() -> None:
    said = Predictions([1, 1, 0], predicted=[0, 1, 0])
    made = report_of(
        {"m": Judged.of(said)}, title="", settings={}, images=lambda rows: [None for _ in rows]
    )
    assert 'aria-label="cannot be shown"' in render_report(made)


# --- classifiers whose rows are in different orders -----------------------------------------------

IDS = np.array([f"{i}.png" for i in range(6)])
LABELS = np.array([0, 0, 0, 1, 1, 1])
ORDER = np.array([4, 2, 5, 0, 3, 1])  # of the others' rows


def images(kind: str, tmp_path: Path) -> Any:
    """Image i is grey 40 * i, in the order of ``IDS``."""
    array = np.repeat(np.arange(6, dtype=np.uint8) * 40, 64).reshape(6, 8, 8)
    if kind == "folder":
        for name, pixels in zip(IDS, array, strict=True):
            Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path
    return array if kind == "array" else lambda rows: [array[row] for row in rows]


def ordered(rows: Any, predicted: Sequence[int], ids: Any = IDS) -> Predictions:
    """Predictions of these rows of ``LABELS``, ``predicted`` and ids, in this order."""
    order = np.asarray(rows)
    return Predictions(
        LABELS[order], predicted=np.array(predicted)[order], ids=None if ids is None else ids[order]
    )


OLD = [1, 1, 1, 1, 1, 0]
NEW = [0, 1, 0, 0, 1, 0]  # wrong: 1, 3 and 5


def grey(thumbnail: str | None) -> Any:
    assert thumbnail
    return decoded(thumbnail).convert("L").getpixel((0, 0))


def shown(made: Report, by: str = "id") -> dict[Any, int]:
    """The grey of each error's thumbnail, by the error's id or row."""
    errors = [e for of_class in made.examples.values() for e in of_class]
    return {getattr(e, by): grey(e.thumbnail) for e in errors}


RIGHT = {"1.png": 40, "3.png": 120, "5.png": 200}


@pytest.mark.parametrize("kind", ["folder", "array", "function"])
def test_thumbnails_are_those_of_the_ids_beside_them(kind: str, tmp_path: Path) -> None:
    both = {"old": ordered(range(6), OLD), "new": ordered(ORDER, NEW)}
    path = report(both, tmp_path / "report.html", images=images(kind, tmp_path))
    found = re.findall(r'<img src="(data:[^"]+)".*?<small><bdi>([^<]+)', path.read_text(), re.S)
    assert {id: grey(address) for address, id in found} == RIGHT


@pytest.mark.parametrize("kind", ["folder", "array", "function"])
@pytest.mark.parametrize("baseline", ["a", "b"])
def test_images_are_numbered_by_the_first_classifier_not_by_the_baseline(
    baseline: str, kind: str, tmp_path: Path
) -> None:
    judged = {
        "a": Judged.of(ordered(range(6), OLD)),
        "b": Judged.of(ordered(ORDER[::-1], OLD)),
        "c": Judged.of(ordered(ORDER, NEW)),
    }
    made = report_of(
        judged, title="", settings={}, baseline=baseline, images=images(kind, tmp_path)
    )
    assert made.judged == "c"
    assert shown(made) == RIGHT


@pytest.mark.parametrize("kind", ["folder", "array", "function"])
def test_without_ids_rows_are_in_the_order_of_the_baseline(kind: str, tmp_path: Path) -> None:
    judged = {
        "a": Judged.of(ordered(range(6), OLD)),
        "b": Judged.of(ordered(ORDER, OLD)),
        "c": Judged.of(ordered(ORDER, NEW, ids=None)),
    }
    made = report_of(judged, title="", settings={}, baseline="b", images=images(kind, tmp_path))
    assert shown(made, by="row") == {row: 40 * i for row, i in enumerate(ORDER) if i in (1, 3, 5)}


@pytest.mark.parametrize("kind", ["array", "function"])
def test_without_any_ids_rows_are_rows(kind: str, tmp_path: Path) -> None:
    judged = {n: Judged.of(ordered(range(6), p, None)) for n, p in (("a", OLD), ("b", NEW))}
    made = report_of(judged, title="", settings={}, images=images(kind, tmp_path))
    assert shown(made, by="row") == {1: 40, 3: 120, 5: 200}


def test_numbers_and_their_digits_are_the_same_ids(tmp_path: Path) -> None:
    numbers = np.arange(6)
    judged = {
        "a": Judged.of(ordered(range(6), OLD, numbers)),
        "b": Judged.of(ordered(ORDER, NEW, numbers.astype(str))),
    }
    made = report_of(judged, title="", settings={}, images=images("array", tmp_path))
    assert shown(made) == {"1": 40, "3": 120, "5": 200}


def test_an_id_that_the_numbered_rows_do_not_have_has_no_picture() -> None:
    pictures = pictures_of(np.zeros((2, 8, 8)), np.array(["b", "x"]), np.array(["a", "b"]))
    assert pictures is not None
    known, unknown = pictures([0, 1])
    assert known is not None
    assert unknown is None


def test_files_in_different_orders_show_the_right_images(tmp_path: Path) -> None:
    folder = images("folder", tmp_path)
    files = {"old": tmp_path / "old.npz", "new": tmp_path / "new.npz"}
    ordered(range(6), OLD).save(files["old"])
    ordered(ORDER, NEW).save(files["new"])
    assert shown(report_of_files(files, images=folder)) == RIGHT
