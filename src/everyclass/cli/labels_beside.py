"""True classes in a file beside predictions that hold none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["labels_for", "without_labels"]


def without_labels(files: Iterable[Path]) -> list[Path]:
    """Those of several files that are arrays of predictions without the true classes."""
    from everyclass.artifacts import lacks_labels
    from everyclass.metrics import holds_state

    return [file for file in files if lacks_labels(file) and not holds_state(file)]


def labels_for(files: Iterable[Path], labels: Path | None) -> dict[Path, Path]:
    """Which files a file of true classes goes with.

    Those that hold none; where all do it goes with all, and who reads them says why it must not.
    What holds no single images, a saved state or the ``.json`` of an evaluation, is left out.

    Raises:
        InputError: no file holds single images.
    """
    from everyclass.artifacts import some
    from everyclass.errors import InputError
    from everyclass.metrics import holds_state

    if labels is None:
        return {}
    files = list(files)
    single = [file for file in files if file.suffix.lower() != ".json" and not holds_state(file)]
    if not single:
        raise InputError(
            f"--labels {labels} are the true classes of single images, and {some(files, most=3)} "
            "holds none of these; leave --labels out."
        )
    return dict.fromkeys(without_labels(single) or single, labels)
