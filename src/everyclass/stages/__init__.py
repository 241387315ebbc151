"""Extract, retrain, calibrate, ensemble, fold: functions from artifacts to artifacts."""

from everyclass.adjustment import fit_temperature
from everyclass.stages.choosing.deciding import ClassifierName, Verdict, decide
from everyclass.stages.choosing.ensembling import Ensemble, ensemble_log_probabilities
from everyclass.stages.choosing.strategies import STRATEGIES, retrains
from everyclass.stages.diagnosing.diagnosing import diagnose
from everyclass.stages.extraction.extracting import extract, extract_views
from everyclass.stages.extraction.frozen_backbone import extract_part
from everyclass.stages.extraction.into_folder import extract_into, extract_views_into
from everyclass.stages.extraction.loaders import LABEL_KEYS
from everyclass.stages.extraction.of_run import data_of, extract_run
from everyclass.stages.extraction.run_network import image_batches, load_network, predict_images
from everyclass.stages.merging import merged_over_processes
from everyclass.stages.pretraining.pretraining import pretrain
from everyclass.stages.rescuing.costs import Cost
from everyclass.stages.rescuing.feature_rescue import rescue_features
from everyclass.stages.rescuing.folding import fold_head
from everyclass.stages.rescuing.rescue_folder import load_classifier, module_of_classifier
from everyclass.stages.rescuing.rescuing import rescue
from everyclass.stages.rescuing.result import RescueResult
from everyclass.stages.rescuing.run_rescue import rescue_run, retraining_of
from everyclass.stages.rescuing.single_layer import SingleLayer, approximate_by_one_layer
from everyclass.stages.retraining.crossfitting import CrossFit, cross_fit
from everyclass.stages.retraining.minibatch_solver import MinibatchSettings
from everyclass.stages.retraining.missing_classes import MissingClasses
from everyclass.stages.retraining.objectives import Objective
from everyclass.stages.retraining.retraining import Retraining, Solver, resumable, retrain

__all__ = [
    "LABEL_KEYS",
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
    "data_of",
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
    "rescue_features",
    "rescue_run",
    "resumable",
    "retrain",
    "retraining_of",
    "retrains",
]
