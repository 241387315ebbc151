"""Features for a rescue: those that are given, or from a network and its loaders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from everyclass.artifacts import Features
from everyclass.errors import InputTypeError
from everyclass.progress import Progress, silent
from everyclass.stages.extraction.extracting import extract

__all__ = ["given_or_extracted"]


def given_or_extracted(
    data: Features | Iterable[Any] | None,
    train: Features | None,
    what: str,
    *,
    model: nn.Module | None,
    head: str | None = None,
    label_key: str | None = None,
    class_names: Sequence[str] | None = None,
    show: Progress = silent,
) -> Features | None:
    """These features, or those that the network makes of this loader; None of None.

    Args:
        data: features or a loader.
        train: the training features that these go with; None for the training ones themselves.
        what: what to call them in an error.
        model: the network, needed for a loader.
        head, label_key: of :func:`extract`.
        class_names: C names for what the network makes; default those of ``train``.
        show: how progress is shown.

    Raises:
        InputTypeError: a loader without a network.
        InputError: what :func:`extract` refuses, or features that do not go with the training ones.
    """
    if isinstance(data, nn.Module):
        raise InputTypeError(
            f"{what} came as a network, {type(data).__name__}: rescue(train_loader, model=network)."
        )
    if data is not None and not isinstance(data, Features):
        if model is None:
            raise InputTypeError(
                f"{what} came as a {type(data).__name__}, not as Features; pass the network too, "
                "rescue(model=…, train=loader), or extract them first: extract(model, loader)."
            )
        names = class_names if train is None else train.class_names
        data = extract(model, data, head=head, label_key=label_key, class_names=names, show=show)
    if data is None or train is None:
        return data
    return data.checked_against(train, what)
