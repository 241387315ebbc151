"""The modern family: paper recipes under strong augmentation and a longer schedule."""

from __future__ import annotations

from dataclasses import replace

from everyclass.errors import InputError
from everyclass.training.recipe import HeadRecipe, Recipe

__all__ = ["modern"]

_STRONG = "autoaugment"


def modern(recipe: Recipe | HeadRecipe) -> Recipe | HeadRecipe:
    """The same method under strong augmentation and a longer schedule.

    AutoAugment and Cutout, twice the epochs, cosine decay: the usual recipe of papers after 2020,
    so that what augmentation gives is never taken for what a method gives. Weight decay 1e-3,
    chosen on held-out images (docs/experiments.md). Of a method in two stages it changes the first
    one only, and of one with teachers theirs too.

    Args:
        recipe: a paper's recipe.

    Returns:
        The recipe with ``-modern`` after its name.

    Raises:
        InputError: the recipe, or one that it rests on, has strong augmentation already.
    """
    name = f"{recipe.name}-modern"
    if strong := _strong_already(recipe):
        rests = "" if strong == recipe.name else f"rests on {strong}, which "
        raise InputError(
            f"{recipe.name} {rests}is trained under strong augmentation as it is; there is no "
            f"{name}."
        )
    if isinstance(recipe, Recipe):
        recipe = replace(recipe, teachers=tuple(map(modern, recipe.teachers)))
    if recipe.start is not None:
        start = modern(recipe.start)
        assert isinstance(start, Recipe)
        return replace(recipe, name=name, start=start)
    assert isinstance(recipe, Recipe)
    return replace(
        recipe,
        name=name,
        augmentation=_STRONG,
        schedule=replace(recipe.schedule, epochs=2 * recipe.schedule.epochs, decay="cosine"),
        weight_decay=1e-3,
    )


def _strong_already(recipe: Recipe | HeadRecipe) -> str | None:
    """The first trained from scratch under strong augmentation, of it and what it rests on."""
    if recipe.start is None and isinstance(recipe, Recipe) and recipe.augmentation == _STRONG:
        return recipe.name
    return next(filter(None, map(_strong_already, recipe.rests_on)), None)
