"""Features in a folder: the same artifact, on disk."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyclass.artifacts import FeatureFolder, Features, Head, StoredFeatures
from everyclass.errors import FileFormatError, InputError, MissingFileError, OutputExistsError


def made(place: Path, features: Features, *, chunk_rows: int = 4, dtype: str = "float32") -> Path:
    folder = FeatureFolder(
        place,
        num_images=len(features),
        num_features=features.num_features,
        num_views=features.num_views,
        chunk_rows=chunk_rows,
        dtype=dtype,
    )
    for chunk in folder.missing():
        rows = np.array(folder.rows(chunk))
        ids = None if features.ids is None else features.ids[rows]
        folder.write(chunk, features.features[..., rows, :], features.labels[rows], ids)
    folder.finish(head=features.head, class_names=features.class_names)
    return place


def some(views: int = 1, images: int = 11, width: int = 3, *, ids: bool = False) -> Features:
    generator = np.random.default_rng(views * images)
    shape = (images, width) if views == 1 else (views, images, width)
    return Features(
        generator.normal(size=shape).astype(np.float32),
        np.arange(images) % 3,
        Head(generator.normal(size=(3, width)), np.zeros(3)),
        ("a", "b", "c"),
        np.array([f"image {i}" for i in range(images)]) if ids else None,
    )


@given(
    views=st.integers(1, 3),
    images=st.integers(1, 20),
    chunk_rows=st.integers(1, 25),
    seed=st.integers(0, 100),
)
def test_a_folder_holds_what_was_written(tmp_path_factory, views, images, chunk_rows, seed):
    features = some(views, max(images, 3), ids=bool(seed % 2))
    stored = Features.load(
        made(tmp_path_factory.mktemp("f") / "x", features, chunk_rows=chunk_rows)
    )
    assert isinstance(stored, StoredFeatures)
    assert stored.features.dtype == np.float32
    np.testing.assert_array_equal(stored.features, features.features)
    np.testing.assert_array_equal(stored.labels, features.labels)
    assert stored.class_names == features.class_names
    np.testing.assert_array_equal(stored.head.weight, features.head.weight)
    assert (stored.ids is None) == (features.ids is None)
    rows = np.random.default_rng(seed).integers(0, views * len(features), 9)
    np.testing.assert_array_equal(stored.at(rows), features.at(rows))
    few = np.arange(len(features))[::2]
    taken = stored.take(few)
    np.testing.assert_array_equal(taken.features, features.take(few).features)
    np.testing.assert_array_equal(taken.labels, features.labels[few])
    assert (stored.num_views, len(stored), stored.num_features) == (views, len(features), 3)
    assert stored.class_counts.counts.tolist() == features.class_counts.counts.tolist()
    stored.verify()


def test_other_programs_read_it_as_plain_arrays(tmp_path):
    features = some(2)
    place = made(tmp_path / "x", features, dtype="float16")
    mapped = np.load(place / "chunk-00001.npy", mmap_mode="r")
    assert mapped.dtype == np.float16
    np.testing.assert_array_equal(mapped, features.features[:, 4:8].astype(np.float16))
    manifest = json.loads((place / "features.json").read_text())
    assert manifest["num_images"] == 11
    assert len(manifest["chunks"][0]["sha256"]["chunk-00000.npy"]) == 64


def test_another_head_and_other_names_need_no_reading(tmp_path):
    features = some()
    stored = Features.load(made(tmp_path / "x", features))
    other = stored.with_head(None)
    assert isinstance(other, StoredFeatures)
    assert other.head is None
    assert stored.head is not None
    checked = other.checked_against(features, "it")
    assert checked.head is features.head
    assert "features" not in checked.__dict__  # nothing was read so far
    with pytest.raises(InputError, match="belongs to another network"):
        stored.with_head(Head(np.ones((3, 5)), np.zeros(3)))


def test_names_of_others_count_the_classes_of_a_folder_without_any(tmp_path):
    names = ("a", "b", "c")
    known = Features(np.ones((4, 2)), [0, 1, 2, 2], class_names=names)
    bare = Features(np.ones((3, 2)), [0, 1, 1])
    for features in (bare, Features.load(made(tmp_path / "x", bare))):
        checked = features.checked_against(known, "it")
        assert checked.class_names == names
        assert checked.num_classes == 3


def test_a_source_tree_that_is_not_installed_finishes(tmp_path, monkeypatch):
    def unknown(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    assert len(Features.load(made(tmp_path / "x", some()))) == 11


def test_what_a_killed_process_left_is_no_content(tmp_path):
    place = tmp_path / "x"
    place.mkdir()
    (place / ".writable.tmp-abc").touch()  # of the probe whether a folder can be written
    made(place, some())


def test_what_was_begun_is_gone_on_with(tmp_path):
    features = some()
    whole = made(tmp_path / "whole", features)
    sizes = {"num_images": 11, "num_features": 3, "chunk_rows": 4, "dtype": "float32"}
    begun = FeatureFolder(tmp_path / "begun", **sizes)
    begun.write(1, features.features[4:8], features.labels[4:8])
    with pytest.raises(MissingFileError, match="begun and is not finished"):
        Features.load(tmp_path / "begun")
    (tmp_path / "begun" / "chunk-00002.npy").write_bytes(b"torn")  # a chunk without a receipt
    again = FeatureFolder(tmp_path / "begun", **sizes)
    assert again.missing() == [0, 2]
    assert again.missing(share=0, of=2) == [0, 2]
    assert again.missing(share=1, of=2) == []
    with pytest.raises(InputError, match="2 of 3 chunks are missing"):
        again.finish()
    for chunk in (0, 2):
        rows = np.array(again.rows(chunk))
        again.write(chunk, features.features[rows], features.labels[rows])
    again.finish(head=features.head, class_names=features.class_names)
    for file in sorted(whole.glob("chunk-*.npy")):
        assert file.read_bytes() == (tmp_path / "begun" / file.name).read_bytes()


def test_a_truncated_chunk_is_made_again(tmp_path):
    place = made(tmp_path / "x", some())
    file = place / "chunk-00001.npy"
    file.write_bytes(file.read_bytes()[:-3])
    sizes = {"num_images": 11, "num_features": 3, "chunk_rows": 4, "dtype": "float32"}
    assert FeatureFolder(place, **sizes).missing() == [1]
    with pytest.raises(FileFormatError, match=r"chunk-00001\.npy"):
        Features.load(place)


def test_another_plan_is_refused(tmp_path):
    FeatureFolder(tmp_path / "x", num_images=5, num_features=2, plan={"seed": 0})
    with pytest.raises(InputError, match=r"plan\.seed: 0 there, 1 asked"):
        FeatureFolder(tmp_path / "x", num_images=5, num_features=2, plan={"seed": 1})
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "something").write_text("else")
    with pytest.raises(OutputExistsError, match="no features folder"):
        FeatureFolder(tmp_path / "y", num_images=5, num_features=2)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones((5, 3)), [0] * 5, r"planned with features of shape \(1, 5, 2\)"),
        (np.full((5, 2), 1e6), [0] * 5, "beyond the range of float16; store float32"),
        (np.full((5, 2), np.nan), [0] * 5, "not finite"),
        (np.ones((5, 2)), [0] * 4, "labels has 4 entries where 5 are needed"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused(tmp_path, features, labels, message):
    folder = FeatureFolder(tmp_path / "x", num_images=5, num_features=2)
    with pytest.raises(InputError, match=message):
        folder.write(0, features, labels)
    assert folder.missing() == [0]


@pytest.mark.parametrize("views", [1, 2])
def test_a_chunk_may_be_empty_where_all_of_it_was_left_out(tmp_path, views):
    given = np.arange(views * 6 * 2, dtype=np.float32).reshape(views, 6, 2)
    folder = FeatureFolder(
        tmp_path / "x", num_images=8, num_features=2, num_views=views, chunk_rows=2, dtype="float32"
    )
    bad = {"5.jpg": "no such file", "6.jpg": "no such file"}
    for chunk, rows in enumerate(([0, 1], [2, 3], [], [4, 5])):
        ids = np.array(rows, dtype=np.int64)
        folder.write(chunk, given[:, rows], rows, ids, None if rows else bad)
    assert folder.missing() == []
    folder.finish()
    features = Features.load(tmp_path / "x")
    assert np.array_equal(features.views, given)
    assert features.labels.tolist() == features.ids.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(features.take(np.array([4, 3])).views, given[:, [4, 3]])
    features.verify()


@pytest.mark.parametrize("of_nothing", [[], None, np.empty(0)])
def test_an_empty_chunk_leaves_the_ids_as_they_are(tmp_path, of_nothing):
    folder = FeatureFolder(tmp_path / "x", num_images=6, num_features=2, chunk_rows=2)
    for chunk, rows in enumerate(([7, 8], [], [9, 10])):
        left_out = None if rows else {"a.jpg": "junk", "b.jpg": "junk"}
        folder.write(chunk, np.ones((len(rows), 2)), [0] * len(rows), rows or of_nothing, left_out)
    folder.finish()
    ids = Features.load(tmp_path / "x").ids
    assert (ids.dtype.kind, ids.tolist()) == ("i", [7, 8, 9, 10])


def test_ids_of_an_empty_chunk_as_earlier_versions_wrote_them(tmp_path):
    folder = FeatureFolder(tmp_path / "x", num_images=4, num_features=2, chunk_rows=2)
    folder.write(0, np.ones((2, 2)), [0, 1], [7, 8])
    folder.write(1, np.ones((0, 2)), [], [], {"a.jpg": "junk", "b.jpg": "junk"})
    folder.finish()
    np.save(tmp_path / "x" / "chunk-00001-ids.npy", np.empty(0, "U1"))
    assert Features.load(tmp_path / "x").ids.tolist() == [7, 8]


@pytest.mark.parametrize(
    ("head", "names", "message"),
    [
        (None, ["a", "b"], r"labels up to 2 and there are 2 classes \(0..1\)"),
        (Head(np.eye(2, 3), np.zeros(2)), None, "labels up to 2 and there are 2 classes"),
        (Head(np.eye(3, 4), np.zeros(3)), None, "takes features of width 4 and these have 3"),
        (None, ["a", "b", "b"], "'b' stands twice"),
    ],
)
def test_what_could_not_be_read_is_not_finished(tmp_path, head, names, message):
    features = some()
    folder = FeatureFolder(tmp_path / "x", num_images=11, num_features=3, chunk_rows=11)
    folder.write(0, features.features, features.labels)
    with pytest.raises(InputError, match=message):
        folder.finish(head=head, class_names=names)
    folder.finish(class_names=["a", "b", "c"])
    assert Features.load(tmp_path / "x").class_names == ("a", "b", "c")


def test_images_may_be_taken_by_a_mask(tmp_path):
    features = some(views=2)
    stored = Features.load(made(tmp_path / "x", features))
    mask = features.labels == 1
    part, whole = stored.take(mask), features.take(mask)
    np.testing.assert_array_equal(part.features, whole.features)
    assert part.labels.tolist() == whole.labels.tolist() == [1] * 4


def test_a_chunk_that_is_gone_is_found(tmp_path):
    stored = Features.load(made(tmp_path / "x", some()))
    (tmp_path / "x" / "chunk-00002.npy").unlink()
    with pytest.raises(FileFormatError, match=r"chunk-00002\.npy is not what was written"):
        stored.verify()


def test_changed_bytes_are_found(tmp_path):
    stored = Features.load(made(tmp_path / "x", some()))
    file = tmp_path / "x" / "chunk-00002.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"chunk-00002\.npy is not what was written"):
        stored.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "newer one may"),
        ({"num_images": 12}, "its chunks hold 11 images"),
        ({"chunks": 3}, "damaged or incomplete"),
        ({"dtype": "object"}, r"chunk-00000\.npy holds"),
        ({"num_views": 0}, "its chunks hold"),
        ({"class_names": ["a"]}, "class names"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, change, message):
    place = made(tmp_path / "x", some())
    manifest = json.loads((place / "features.json").read_text())
    (place / "features.json").write_text(json.dumps(manifest | change))
    with pytest.raises((FileFormatError, InputError), match=message):
        Features.load(place)


def test_more_than_memory_is_not_read_at_once(tmp_path, monkeypatch):
    stored = Features.load(made(tmp_path / "x", some()))
    monkeypatch.setattr("everyclass.artifacts.stored_features.free_memory", lambda: 100)
    with pytest.raises(InputError, match="132 bytes of features and 100 bytes of memory are free"):
        _ = stored.features
    assert stored.at(np.array([0])).shape == (1, 3)
