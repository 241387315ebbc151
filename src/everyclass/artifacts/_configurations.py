"""Where two nested configurations differ, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

__all__ = ["alike", "differences"]

_SETTING = re.compile(r"(\w+)=(\([^)]*\)|[^,()]+)")  # name='value' or name=(0.4, 0.1)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], place: str = "") -> list[str]:
    """In words, where two nested configurations differ."""
    different = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            different += differences(a, b, f"{place}{key}.")
        elif _are_mappings(a) and _are_mappings(b) and len(a) == len(b):
            for number, (one, other) in enumerate(zip(a, b, strict=True)):
                different += differences(one, other, f"{place}{key}[{number}].")
        elif not alike(key, a, b):
            different.append(f"{place}{key}: {a} there, {b} asked")
    return different


def _are_mappings(value: Any) -> TypeGuard[list[Mapping[str, Any]]]:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def alike(key: str, there: Any, here: Any) -> bool:
    """Whether a constant is the same; of what fits a head, the settings that both tell.

    All its settings are told, and which there are changes with the code. Where one name stands
    twice, which of the two is meant cannot be told, and all has to be the same.

    Args:
        key: the constant's name.
        there: what is stored.
        here: what is asked for.
    """
    if key != "fit" or not isinstance(there, str) or not isinstance(here, str):
        return bool(there == here)
    one, other = ([("", text.partition("(")[0]), *_SETTING.findall(text)] for text in (there, here))
    settings, others = dict(one), dict(other)
    if (len(settings), len(others)) != (len(one), len(other)):
        return there == here
    return all(settings[name] == others[name] for name in settings.keys() & others.keys())
