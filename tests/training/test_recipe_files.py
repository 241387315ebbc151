"""Recipes of one's own: copied, changed, wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from everyclass import DataConfig, get_method, pretrain
from everyclass.errors import (
    InputError,
    MissingFileError,
    OutputExistsError,
    RunFailedError,
)
from everyclass.methods import copy_method, method_notes
from everyclass.training import Recipe

DIGITS = DataConfig("digits-lt", imbalance_ratio=20)


@pytest.mark.parametrize("name", ["ce", "ldam-drw", "lade-wide", "crt", "ce-modern"])
def test_a_copy_runs(name: str, tmp_path: Path) -> None:
    copy_method(name, tmp_path / "mine.py")
    mine, original = get_method(str(tmp_path / "mine.py")), get_method(name)
    assert mine.name == "mine"
    assert replace(mine, name=name, file_fingerprint=None).to_dict() == original.to_dict()
    run = pretrain(mine, DIGITS, epochs=1, out=tmp_path / "x-mine-s0")
    assert run.config["method"] == "mine"


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match="pass overwrite"):
        copy_method("ce", path)
    assert path.read_text() == "precious"
    copy_method("ce", path, overwrite=True)
    assert "RECIPE" in path.read_text()
    with pytest.raises(InputError, match=r"ends in \.py"):
        copy_method("ce", tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("content", "said"),
    [("x = 1", "has no RECIPE"), ("RECIPE = 3", "has no RECIPE"), ("1 +", "SyntaxError"),
     ("import nowhere", "ModuleNotFoundError"), ("1 / 0", "ZeroDivisionError")],
)  # fmt: skip
def test_a_file_that_is_no_recipe_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(InputError, match=said):
        get_method(str(tmp_path / "mine.py"))
    with pytest.raises(MissingFileError, match="no recipe file"):
        get_method(str(tmp_path / "nowhere.py"))


def written(folder: Path, change: tuple[str, str] = ("", ""), method: str = "ce") -> Path:
    """A copy of a method in which something is changed."""
    path = folder / "mine.py"
    copy_method(method, path, overwrite=True)
    source = path.read_text()
    assert change[0] in source
    path.write_text(source.replace(*change) if change[0] else source)
    return path


@pytest.mark.parametrize("data", ["imagenet-lt", "places-lt", "cifar10-lt", "cifar100-lt"])
@pytest.mark.parametrize("name", ["ce", "mislas", "crt", "ce-modern", "crt-modern"])
def test_a_copy_is_on_other_data_what_the_method_is(name: str, data: str, tmp_path: Path) -> None:
    mine, original = (get_method(n, data, 10) for n in (str(written(tmp_path, method=name)), name))
    assert replace(mine, name=name, file_fingerprint=None).to_dict() == original.to_dict()
    assert [r.to_dict() for r in mine.rests_on] == [r.to_dict() for r in original.rests_on]


def test_a_start_that_was_changed_is_not_taken_for_the_librarys(tmp_path: Path) -> None:
    path = written(tmp_path, ("start=CE", "start=replace(CE, batch_size=64)"), method="crt")
    path.write_text("from dataclasses import replace\n" + path.read_text().split('"""', 2)[2])
    (start,) = get_method(str(path), "cifar100-lt", 10).rests_on
    assert isinstance(start, Recipe)
    assert start.batch_size == 64
    assert start.name == "mine-ce"


def test_what_a_file_changes_beneath_its_recipe_is_its_own(tmp_path: Path) -> None:
    """In folders of its own: under the library's name it would be taken for the library's run."""
    path = written(
        tmp_path, ("module_of_head(retrain(train, settings))", "train.head"), "distilled"
    )
    mine = get_method(str(path), "cifar100-lt", 100)
    start, *teachers = mine.rests_on
    assert start == get_method("paco")
    assert [teacher.name for teacher in teachers][:2] == [
        "mine-ldam-drw-under-gml",
        "mine-lade-under-gml",
    ]
    assert {teacher.file_fingerprint for teacher in teachers} == {mine.file_fingerprint}
    assert teachers[0].start == get_method("ldam-drw")


def test_notes_of_a_copy_are_those_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert method_notes(str(path)) == method_notes("ce")
    path.write_text("RECIPE = 1")
    assert method_notes(str(path)) == ""
    with pytest.raises(MissingFileError, match="no recipe file"):
        method_notes(str(tmp_path / "nowhere.py"))


@pytest.mark.parametrize("name", ["paco-modern", "distilled-modern", "shike-modern"])
def test_what_has_no_modern_sister_is_not_copied(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"there is no {name}"):
        copy_method(name, tmp_path / "mine.py")
    assert not list(tmp_path.iterdir())


def test_a_changed_file_is_another_recipe(tmp_path: Path) -> None:
    """A function's name does not tell what it does."""
    path = written(tmp_path, method="ncm")
    out = tmp_path / "x-mine-s0"
    pretrain(get_method(str(path)), DIGITS, epochs=1, out=out)
    source = path.read_text()
    path.write_text("# a comment\n" + source)
    pretrain(get_method(str(path)), DIGITS, epochs=1, out=out)
    path.write_text(source.replace("return head", "return head.requires_grad_(True)"))
    with pytest.raises(InputError, match=r"recipe\.file_fingerprint: "):
        pretrain(get_method(str(path)), DIGITS, epochs=1, out=out)


def test_a_file_may_have_a_dataclass(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from everyclass.methods.ce import RECIPE\n@dataclass\nclass Mine:\n    a: int\n"
    )
    assert get_method(str(path)).name == "mine"


CE = "loss=lambda counts: nn.CrossEntropyLoss(),"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("loss=nn.CrossEntropyLoss()", "loss of ce must be made for the data: say loss=lambda"),
        (
            'sampler="class-aware"',
            "sampler of ce must be made for the data: say sampler=ClassAware",
        ),
        ('mixing="mixup"', "mixing of ce must be Mixup"),
        ("batch_size=0", "batch_size of ce must be 2 or more; got 0"),
        ("batch_size=1", "batch_size of ce must be 2 or more; got 1"),
        ("batch_size=1.5", "batch_size of ce must be a whole number"),
        ("begin_after=-1", "begin_after of ce must be 0 or more; got -1"),
        ("weight_decay=-1.0", "weight_decay of ce must be 0 or more; got -1.0"),
        ("momentum=2", "momentum of ce must be from 0 to 1"),
        ('trained={"head": "fast"}', "factor of 'head' in trained of ce must be a number"),
    ],
)
def test_wrong_constants_are_refused(line: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, (CE, f"{line}," if line.startswith("loss") else f"{CE} {line},"))
    with pytest.raises(InputError, match=said):
        get_method(str(path))


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("loss=lambda c: nn.CrossEntropyLoss", InputError, "loss of mine must be a module made"),
        ("loss=lambda c: 1 / 0", InputError, "loss of mine .* got 'ZeroDivisionError: division"),
        (
            "loss=lambda c: nn.CrossEntropyLoss(weight=torch.ones(3))",
            RunFailedError,
            "by mine, of a recipe file, failed: RuntimeError: weight tensor .*--debug",
        ),
        (
            "loss=lambda c: nn.CrossEntropyLoss(reduction='none')",
            RunFailedError,
            "by mine, of a recipe file, failed: RuntimeError: ",
        ),
        (f'{CE} trained={{"heads": 1.0}}', InputError, "begins with 'heads', .* head.bias"),
    ],
)
def test_what_fails_in_training_names_the_file(
    line: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, (CE, f"{line},"))
    path.write_text("import torch\n" + path.read_text())
    with pytest.raises(error, match=said):
        pretrain(get_method(str(path)), DIGITS, epochs=1, out=tmp_path / "run")


def test_a_sampler_may_have_settings(tmp_path: Path) -> None:
    path = written(tmp_path, (CE, f"{CE} sampler=partial(ClassAware, images_per_class=2),"))
    head = "from functools import partial\nfrom everyclass.data import ClassAware\n"
    path.write_text(head + path.read_text())
    run = pretrain(get_method(str(path)), DIGITS, epochs=1, out=tmp_path / "run")
    assert run.config["recipe"]["sampler"] == "ClassAware(images_per_class=2)"


def test_a_scaled_head_goes_on_with_a_linear_one_only(tmp_path: Path) -> None:
    """A cosine head's weights are directions, which are no linear head's."""
    cosine = pretrain(get_method("ldam"), DIGITS, epochs=1, out=tmp_path / "ldam")
    with pytest.raises(InputError, match=r"lws goes on with a head of kind linear.* is cosine"):
        pretrain(get_method("lws"), DIGITS, epochs=1, start=cosine.folder, out=tmp_path / "lws")
