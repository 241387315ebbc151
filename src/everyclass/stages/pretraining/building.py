"""What a recipe trains: its network and learner, or a head computed from a finished network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from everyclass.artifacts import Run
from everyclass.data import BadPictures, Dataset
from everyclass.errors import InputError
from everyclass.nn import Classifier, build_classifier, check_takes
from everyclass.progress import Progress
from everyclass.stages.extraction.of_run import part_features
from everyclass.stages.extraction.run_network import load_network
from everyclass.training import HeadRecipe, Learner, Recipe

__all__ = ["learner_of", "with_computed_head"]


def learner_of(
    recipe: Recipe, dataset: Dataset, begun: Sequence[Run], *, backbone: str, seed: int
) -> Learner:
    """The network and what it learns by, before the first step.

    Args:
        recipe: the method.
        dataset: what it will be trained on.
        begun: the finished runs that the recipe rests on.
        backbone: the network's.
        seed: of the first weights.

    Raises:
        InputError: the recipe's head does not fit the backbone, or what it begins with.
    """
    try:
        model = build_classifier(
            backbone,
            dataset.num_classes,
            seed=seed,
            head=recipe.head,
            weights="none" if recipe.start is not None else recipe.weights,
        )
    except InputError as error:
        if recipe.start is None:
            raise
        raise InputError(
            f"{recipe.name} needs a network with the features of {recipe.start.name}'s, and "
            f"{begun[0].folder} has another one. {error}"
        ) from error
    check_takes(model.backbone, *dataset.image_size, backbone)
    given: dict[str, Any] = {} if recipe.mixing is None else {"mixing": recipe.mixing}
    if "" not in recipe.trained and not recipe.shift_batch_norm:
        model.keep_still(recipe.trained)
    finished = [load_network(run, dataset.num_classes) for run in begun]
    if recipe.start is not None:
        _begin_with(model, finished.pop(0), begun[0], recipe)
    if finished:
        given["teachers"] = finished
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return recipe.learner(model, recipe.make_loss(dataset.class_counts), **given)


def _begin_with(model: Classifier, finished: Classifier, run: Run, recipe: Recipe) -> None:
    """Give ``model`` the backbone of a finished network, and its head where the recipe keeps it.

    Raises:
        InputError: the recipe is made for another kind of head, or keeps more of the head than its
            own kind has room for.
    """
    assert recipe.start is not None
    kind = run.config["recipe"]["head"]
    if recipe.keep_head and kind != recipe.start.head:
        raise InputError(
            f"{recipe.name} goes on with a head of kind {recipe.start.head}, such as "
            f"{recipe.start.name} has; that of {run.folder} is {kind}."
        )
    model.backbone.load_state_dict(finished.backbone.state_dict())
    if recipe.keep_head:
        lost = model.head.load_state_dict(finished.head.state_dict(), strict=False).unexpected_keys
        if lost:
            raise InputError(
                f"{recipe.name} goes on with the head of {run.folder}, of kind {kind}; its "
                f"{', '.join(lost)} would be lost in one of kind {recipe.head}. Say head={kind!r}, "
                "or keep_head=False."
            )
    if not recipe.trains_backbone:
        model.freeze_backbone(shift_batch_norm=recipe.shift_batch_norm)


def with_computed_head(
    recipe: HeadRecipe,
    begun: Run,
    dataset: Dataset,
    *,
    device: torch.device,
    bad: BadPictures,
    workers: int | None,
    show: Progress,
) -> Classifier:
    """The finished network under the head that the recipe computes from its features."""
    network = load_network(begun, dataset.num_classes)
    train = part_features(
        network,
        dataset,
        dataset.train,
        "training",
        precision=begun.config["precision"],
        device=device,
        bad=bad,
        workers=workers,
        show=show,
    )
    return Classifier(network.backbone, recipe.fit(train)).eval()
