"""What the reference shows of docstrings."""

from __future__ import annotations

import re
from typing import Any

import griffe


class AsMarkdown(griffe.Extension):  # type: ignore[misc]
    """Doctests under "Example:" as code, and :func:`names` as names."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            text = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)
            obj.docstring.value = re.sub(r":(?:func|class|meth|mod):`~?([^`]+)`", _named, text)


def _named(role: re.Match[str]) -> str:
    return f"`{role.group(1).rpartition('.')[2]}`"
