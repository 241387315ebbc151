"""Class weights as they are typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["named_weights"]


def named_weights(
    said: Sequence[str], names: Sequence[str] | None, num_classes: int
) -> npt.NDArray[np.float64]:
    """Class weights from words such as "lynx=5"; classes that are not named weigh 1.

    Args:
        said: NAME=WEIGHT, the name of a class, or its index where there are no names.
        names: C class names, or None.
        num_classes: C.

    Raises:
        InputError: no such class, or no number.

    Example:
        >>> named_weights(["lynx=5"], ["cat", "lynx"], 2)
        array([1., 5.])
    """
    import numpy as np

    from everyclass.artifacts import did_you_mean, quoted
    from everyclass.errors import InputError

    weights = np.ones(num_classes)
    index = {name: c for c, name in enumerate(names or map(str, range(num_classes)))}
    for each in said:
        name, _, number = each.rpartition("=")
        if name not in index:
            hint = did_you_mean(name, index)
            raise InputError(f"The weight {quoted(each)} is for no class{hint} Write NAME=WEIGHT.")
        try:
            weights[index[name]] = float(number)
        except ValueError as error:
            raise InputError(
                f"The weight {quoted(each)} has no number; write NAME=WEIGHT."
            ) from error
    return weights
