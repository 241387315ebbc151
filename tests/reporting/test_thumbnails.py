"""Small pictures: what is shown, what is broken, and what leads out of the folder."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from everyclass.artifacts import Predictions
from everyclass.errors import InputError
from everyclass.reporting import Judged, pictures_of, report_of
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
    pictures = pictures_of(images, None)
    report = report_of({"m": Judged.of(said)}, title="", settings={}, pictures=pictures)
    errors = report.examples[1]
    assert [(e.row, e.id, e.predicted) for e in errors] == [(0, "a", 0), (2, "c", 0), (1, "b", 0)]
    assert [e.probability for e in errors] == pytest.approx([0.9, 0.8, 0.6])
    assert decoded(errors[1].thumbnail or "").getpixel((0, 0)) == (2, 2, 2)
    page = render_report(report)
    assert page.count('<img src="data:image/png;base64,') == 3
    assert "img-src data:;" in page


def test_a_broken_image_is_shown_as_such() -> None:
    said = Predictions([1, 1, 0], predicted=[0, 1, 0])
    pictures = pictures_of(lambda rows: [None for _ in rows], None)
    report = report_of({"m": Judged.of(said)}, title="", settings={}, pictures=pictures)
    assert 'aria-label="cannot be shown"' in render_report(report)
