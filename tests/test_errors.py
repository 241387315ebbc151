"""Errors that are told which file they are about, and the words of other people's."""

from __future__ import annotations

import pickle

import pytest

from everyclass import errors
from everyclass.errors import (
    EveryclassError,
    GateFailedError,
    MissingLibraryError,
    first_line,
    naming,
)

KINDS = [
    kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and kind is not MissingLibraryError
]


of_every_kind = pytest.mark.parametrize(
    "error",
    [*(kind("It is empty.") for kind in KINDS), MissingLibraryError("timm", "timm")],
    ids=lambda error: type(error).__name__,
)


@of_every_kind
def test_a_named_error_is_the_same_one(error: EveryclassError) -> None:
    said = str(error)
    with pytest.raises(type(error)) as caught, naming("b"), naming("a.npz"):
        raise error
    assert type(caught.value) is type(error)
    assert str(caught.value) == f"b: a.npz: {said}"


@of_every_kind
def test_errors_come_back_from_other_processes(error: EveryclassError) -> None:
    with pytest.raises(type(error)), naming("a.npz"):
        raise error
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    assert again.__dict__ == error.__dict__


def test_a_named_error_keeps_what_it_holds() -> None:
    cause = KeyError("x")
    with pytest.raises(GateFailedError) as caught, naming("a.npz"):
        raise GateFailedError("1 of 2 failed.", ["one", "two"]) from cause
    assert caught.value.results == ("one", "two")
    assert caught.value.__cause__ is cause


def test_errors_of_others_are_not_named() -> None:
    with pytest.raises(ValueError, match=r"^bad$"), naming("a.npz"):
        raise ValueError("bad")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("One.\nTwo."), "One"),
        (ValueError("One"), "One"),
        (RuntimeError(), "RuntimeError"),
        (NotImplementedError(""), "NotImplementedError"),
    ],
)
def test_the_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
