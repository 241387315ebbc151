"""Losses for Keras 3 on torch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from everyclass.errors import InputError, MissingLibraryError

try:
    import keras
except ImportError as error:
    missing = (error.name or "keras").split(".")[0]
    needed = "keras with KERAS_BACKEND=torch"
    if missing != "keras":  # which is there, and what it runs on is not
        needed = f"KERAS_BACKEND=torch before keras is imported, which else takes {missing}"
    raise MissingLibraryError(needed, missing) from error

__all__ = ["KerasLoss"]


class KerasLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss of this library for ``model.compile``; labels are class numbers, outputs are logits.

    Keras hands labels over as floating-point numbers of the shape (n,) or (n, 1); here they become
    whole numbers again.

    Args:
        loss: such as ``ec.losses.GMLLoss(class_counts)``.
        name: of the loss in Keras.

    Raises:
        InputError: Keras runs on another backend than torch.
    """

    def __init__(self, loss: nn.Module, *, name: str = "everyclass") -> None:
        if keras.backend.backend() != "torch":
            raise InputError(
                f"Keras runs on {keras.backend.backend()} and the losses need torch; set "
                "KERAS_BACKEND=torch before keras is imported."
            )
        super().__init__(name=name, reduction=None)
        self.loss = loss

    def __call__(self, y_true: Any, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        """Return the loss of a batch.

        Raises:
            InputError: with sample weights, which these losses do not take.
        """
        if sample_weight is not None:
            raise InputError(
                "The losses take no sample_weight or class_weight; the class counts weigh classes."
            )
        if y_pred.is_meta:  # Keras asks for the shape of the result before there are numbers
            return y_pred.float().sum()
        labels = keras.ops.convert_to_tensor(y_true)
        self.loss.to(y_pred.device)
        return self.loss(y_pred, labels.reshape(len(y_pred)).long())

    call = __call__
