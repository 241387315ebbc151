"""Whether images can be judged by the classifiers of a rescue."""

from __future__ import annotations

from everyclass.artifacts import Features
from everyclass.errors import InputError

__all__ = ["check_can_be_judged", "check_test_set"]


def check_test_set(test: Features, train: Features) -> None:
    """Refuse a test set that classifiers made from these training features cannot be judged on.

    Raises:
        InputError: what :func:`check_can_be_judged` says.
    """
    check_can_be_judged(
        test,
        "The test set",
        num_features=train.num_features,
        num_classes=train.num_classes,
        class_names=train.class_names,
    )


def check_can_be_judged(
    images: Features,
    what: str,
    *,
    num_features: int,
    num_classes: int,
    class_names: tuple[str, ...] | None,
) -> None:
    """Refuse images of another network, or whose classes are numbered otherwise.

    Labels are numbers, so that nothing else shows that they mean other classes.

    Args:
        images: their features.
        what: what to call them in an error.
        num_features: the width that the classifiers take.
        num_classes: C, of the classifiers.
        class_names: C names, or None where they are not known.

    Raises:
        InputError: another width, another number of classes, other names, or a label from C on.
    """
    if images.num_features != num_features:
        raise InputError(
            f"{what} has features of width {images.num_features} and the training features have "
            f"{num_features}: they come from different networks."
        )
    for index, (name, known) in enumerate(
        zip(images.class_names or (), class_names or (), strict=False)
    ):
        if name != known:
            raise InputError(
                f"{what} calls class {index} {name!r} and the training features call it "
                f"{known!r}: the labels are numbered differently; number them as in training."
            )
    if images.class_names is not None and len(images.class_names) != num_classes:
        raise InputError(
            f"{what} has names of {len(images.class_names):,} classes and training has "
            f"{num_classes:,} classes; give the names of training, in their order, or none."
        )
    if (largest := int(images.labels.max())) >= num_classes:
        row = int(images.labels.argmax())
        raise InputError(
            f"{what}: labels[{row}] is {largest}, and training knows only classes "
            f"0..{num_classes - 1}."
        )
