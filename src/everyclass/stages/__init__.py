"""Extract, retrain, calibrate, ensemble, fold: functions from artifacts to artifacts."""

from everyclass.adjustment import fit_temperature
from everyclass.stages.costs import Cost
from everyclass.stages.crossfitting import CrossFit, cross_fit
from everyclass.stages.deciding import ClassifierName, Verdict, decide
from everyclass.stages.diagnosing import diagnose
from everyclass.stages.ensembling import Ensemble, ensemble_log_probabilities
from everyclass.stages.extraction import extract, extract_views
from everyclass.stages.folder_extraction import extract_into, extract_views_into
from everyclass.stages.folding import fold_head
from everyclass.stages.frozen_extraction import extract_part
from everyclass.stages.merging import merged_over_processes
from everyclass.stages.minibatch_solver import MinibatchSettings
from everyclass.stages.missing_classes import MissingClasses
from everyclass.stages.objectives import Objective
from everyclass.stages.pretraining import pretrain
from everyclass.stages.rescue_folder import load_classifier, module_of_classifier
from everyclass.stages.rescuing import rescue
from everyclass.stages.result import RescueResult
from everyclass.stages.retraining import Retraining, Solver, resumable, retrain
from everyclass.stages.run_extraction import extract_run
from everyclass.stages.run_network import image_batches, load_network, predict_images
from everyclass.stages.run_rescue import rescue_run, retraining_of
from everyclass.stages.single_layer import SingleLayer, approximate_by_one_layer
from everyclass.stages.strategies import STRATEGIES

__all__ = [
    "STRATEGIES",
    "ClassifierName",
    "Cost",
    "CrossFit",
    "Ensemble",
    "MinibatchSettings",
    "MissingClasses",
    "Objective",
    "RescueResult",
    "Retraining",
    "SingleLayer",
    "Solver",
    "Verdict",
    "approximate_by_one_layer",
    "cross_fit",
    "decide",
    "diagnose",
    "ensemble_log_probabilities",
    "extract",
    "extract_into",
    "extract_part",
    "extract_run",
    "extract_views",
    "extract_views_into",
    "fit_temperature",
    "fold_head",
    "image_batches",
    "load_classifier",
    "load_network",
    "merged_over_processes",
    "module_of_classifier",
    "predict_images",
    "pretrain",
    "rescue",
    "rescue_run",
    "resumable",
    "retrain",
    "retraining_of",
]
