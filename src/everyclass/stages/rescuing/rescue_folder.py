"""The classifiers that a rescue left in its folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

from torch import nn

from everyclass.artifacts import Head, read_json
from everyclass.errors import FileFormatError, InputError
from everyclass.nn import EnsembleHead, module_of_head
from everyclass.stages.choosing.deciding import ClassifierName
from everyclass.stages.choosing.ensembling import Ensemble

__all__ = ["load_classifier", "module_of_classifier"]


def load_classifier(folder: str | Path, which: ClassifierName | None = None) -> Head | Ensemble:
    """One of the three classifiers of a rescue, from its folder.

    Args:
        folder: what :meth:`RescueResult.save` or ``everyclass rescue`` wrote.
        which: "old", "retrained", "ensemble"; default the one that the verdict recommends.

    Raises:
        MissingFileError: the folder is not a rescue's.
        FileFormatError: its files are damaged.
        InputError: an unknown ``which``.
    """
    folder = Path(folder)
    known = get_args(ClassifierName)
    if which is not None and which not in known:
        raise InputError(f"There is no classifier {which!r}; there are old, retrained, ensemble.")
    said = read_json(folder / "evaluation.json", "file of a rescue")
    try:
        use = which or said["verdict"]["use"]
        t_old, t_new = (float(said["temperatures"][name]) for name in ("old", "retrained"))
        if use not in known or not all(0 < t < math.inf for t in (t_old, t_new)):
            raise ValueError(use)
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{folder / 'evaluation.json'} has no verdict and temperatures above 0; name the "
            "folder that everyclass rescue wrote."
        ) from error
    old = Head.load(folder / "old-head.safetensors")
    if use == "old":
        return old
    new = Head.load(folder / "head.safetensors")
    return new if use == "retrained" else Ensemble(old, new, t_old, t_new)


def module_of_classifier(classifier: Head | Ensemble) -> nn.Module:
    """The classifier as a module from (n, d) features to (n, C) logits."""
    if isinstance(classifier, Ensemble):
        return EnsembleHead(classifier.old, classifier.new, classifier.t_old, classifier.t_new)
    return module_of_head(classifier)
