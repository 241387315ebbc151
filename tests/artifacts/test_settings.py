"""What is said of numbers and words that something cannot be set up with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from everyclass.artifacts import check_choice, check_number, check_whole_number
from everyclass.errors import EveryclassError, InputError, InputTypeError


def said(call: Any, *args: Any, **kwargs: Any) -> tuple[type[EveryclassError], str]:
    with pytest.raises(EveryclassError) as caught:
        call(*args, **kwargs)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int8(1)])
def test_numbers_come_back_plain(value: Any) -> None:
    assert type(check_number("x", value)) is float
    assert check_number("x", value, above=0) == 1


@pytest.mark.parametrize(
    ("bounds", "wrong", "allowed"),
    [
        ({}, [-1e-9, float("inf"), float("nan"), float("-inf")], "0 or more"),
        ({"low": 7}, [6.9], "7 or more"),
        ({"high": 1}, [-0.1, 1.1, float("nan")], "from 0 to 1"),
        ({"above": 0}, [0, 0.0, -1, float("inf"), float("nan")], "above 0"),
        ({"above": 0, "high": 2}, [0, 2.1], "above 0, at most 2"),
    ],
)
def test_numbers_out_of_range(bounds: dict[str, float], wrong: list[float], allowed: str) -> None:
    for value in wrong:
        text = f"x must be {allowed}; got {value}."
        assert said(check_number, "x", value, **bounds) == (InputError, text)
    largest = bounds.get("high", 1e300)
    assert check_number("x", largest, **bounds) == largest


@pytest.mark.parametrize("value", ["1", None, True, np.bool_(True), 1j, [1.0]])
def test_no_numbers(value: Any) -> None:
    text = f"x must be a number; got {type(value).__name__}."
    assert said(check_number, "x", value) == (InputTypeError, text)


def test_whole_numbers() -> None:
    assert type(check_whole_number("n", np.int64(3))) is int
    assert check_whole_number("n", 10_000_000, 0, 10_000_000) == 10_000_000
    text = "n must be from 1 to 10000000; got 0."
    assert said(check_whole_number, "n", 0, 1, 10_000_000) == (InputError, text)
    assert said(check_whole_number, "n", -1) == (InputError, "n must be 0 or more; got -1.")
    for value in (1.0, "1", True, None):
        text = f"n must be a whole number; got {value!r}."
        assert said(check_whole_number, "n", value) == (InputTypeError, text)


def test_words() -> None:
    check_choice("mode", "b", ("a", "b"))
    for value in ("c", 3, None, ["a"]):
        text = f"mode must be 'a', 'b' or 'd'; got {value!r}."
        assert said(check_choice, "mode", value, ("a", "b", "d")) == (InputError, text)
