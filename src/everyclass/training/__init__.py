"""One loop for every method: devices, schedules, checkpoints."""

from everyclass.training.allocator import keep_large_buffers
from everyclass.training.checkpoints import load_checkpoint, save_checkpoint
from everyclass.training.devices import (
    Precision,
    autocast,
    choose_device,
    choose_precision,
    inference_precision,
)
from everyclass.training.learner import Learner, Outcome, Supervised
from everyclass.training.loop import EpochLog, fit
from everyclass.training.modern_family import modern
from everyclass.training.recipe import HeadRecipe, Recipe
from everyclass.training.recipe_file import (
    named_in_errors,
    recipe_file_fingerprint,
    recipe_file_notes,
    run_recipe_file,
)
from everyclass.training.schedules import Schedule, build_scheduler
from everyclass.training.sgd import SgdSettings

__all__ = [
    "EpochLog",
    "HeadRecipe",
    "Learner",
    "Outcome",
    "Precision",
    "Recipe",
    "Schedule",
    "SgdSettings",
    "Supervised",
    "autocast",
    "build_scheduler",
    "choose_device",
    "choose_precision",
    "fit",
    "inference_precision",
    "keep_large_buffers",
    "load_checkpoint",
    "modern",
    "named_in_errors",
    "recipe_file_fingerprint",
    "recipe_file_notes",
    "run_recipe_file",
    "save_checkpoint",
]
