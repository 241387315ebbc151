"""Trained networks kept as files of one to three megabytes, with what each gives on its test set.

Weights are stored in float16. The recalls in a file are those of the network with these very
weights, in float32 on a CPU, so that :func:`check` can ask for exactly the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everyclass.artifacts import (
    ClassCounts,
    Evaluation,
    Run,
    check_number,
    load_safetensors,
    plain_json,
    save_safetensors,
)
from everyclass.data import DataConfig, Dataset, load_dataset
from everyclass.errors import (
    FileFormatError,
    InputError,
    MissingFileError,
    OutputExistsError,
    RunFailedError,
    first_line,
)
from everyclass.metrics import evaluate
from everyclass.nn import Classifier, build_classifier
from everyclass.stages import data_of, image_batches, load_network, predict_images

__all__ = [
    "DEFAULT_FOLDER",
    "Trained",
    "add",
    "check",
    "known_names",
    "load",
    "names",
    "own_folder",
]

DEFAULT_FOLDER = Path("zoo")
FOLDER_VARIABLE = "EVERYCLASS_ZOO"
USUAL_RATIO = 100.0
_VERSION = "1"
_MOST_BY_ROUNDING = 0.02  # of accuracy, on some hundred images in bfloat16


@dataclass(frozen=True, eq=False)
class Trained:
    """A network of the zoo.

    Attributes:
        name: such as ``cifar100-lt/paco``.
        model: in eval mode.
        facts: ``method``, ``backbone``, ``head``, ``data``, ``split_fingerprint``, ``class_names``,
            ``class_counts``, ``test`` (the headline numbers), ``per_class_recall``, and ``run``,
            the birth certificate of the training.
    """

    name: str
    model: Classifier
    facts: dict[str, Any]

    def __repr__(self) -> str:
        return f"Trained({self.name!r}, accuracy {self.facts['test']['accuracy']:.1%})"


def own_folder() -> Path:
    """Where networks are added by default: the folder in EVERYCLASS_ZOO, or else ``zoo`` here."""
    return _said_folder() or DEFAULT_FOLDER


def names(folder: str | Path | None = None) -> list[str]:
    """The names of all networks in a zoo's folder; none where there is no such folder.

    Args:
        folder: where the zoo is; by default as in :func:`load`.
    """
    folder = _where(folder)
    found = folder.glob("*/*.safetensors")
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in found)


def known_names(folder: str | Path | None = None) -> list[str]:
    """The names of all networks in a folder that has to hold some.

    Args:
        folder: where the zoo is; by default as in :func:`load`.

    Raises:
        MissingFileError: there is no such folder, or no network in it.
    """
    found = names(folder)
    if found:
        return found
    said = _said_folder() if folder is None else Path(folder)
    other = "name a zoo's folder (--folder)"
    if said is None:
        what = f"no network in {', '.join(map(str, _places()))}"
        other = f"name a zoo's folder (--folder, or the environment variable {FOLDER_VARIABLE})"
    else:
        what = f"no {'network in' if said.is_dir() else 'folder'} {said.absolute()}"
        if folder is None:
            what = f"{what}, which the environment variable {FOLDER_VARIABLE} names"
            other = f"set it to a zoo's folder, or unset it, or {other}"
    raise MissingFileError(
        f"There is {what}; {other}, such as that of a clone, or add a network of yours with: "
        "everyclass zoo add RUN"
    )


def _where(folder: str | Path | None) -> Path:
    """The folder; by default the environment's, or else the first place with a network in it."""
    said = _said_folder() if folder is None else Path(folder)
    if said is not None:
        return said
    found = (place for place in _places() if any(place.glob("*/*.safetensors")))
    return next(found, DEFAULT_FOLDER)


def _said_folder() -> Path | None:
    """The folder that the environment says."""
    said = os.environ.get(FOLDER_VARIABLE)
    return Path(said) if said else None


def _places() -> list[Path]:
    """Where the zoo is looked for if nobody says: here, and in the clone that the package is in."""
    source = Path(__file__).resolve().parent.parent
    clone = source.parent
    places = [DEFAULT_FOLDER]
    if source.name == "src" and (clone / "pyproject.toml").is_file():
        places.append(clone / "zoo")
    return list(dict.fromkeys(place.absolute() for place in places))


def load(name: str, folder: str | Path | None = None) -> Trained:
    """Load a network with its head.

    Args:
        name: ``<data>/<method>``, such as ``cifar100-lt/paco``.
        folder: where the zoo is. By default it is the folder in the environment variable
            EVERYCLASS_ZOO; where that is not set, ``zoo`` in the current folder; or else, if no
            network is there, ``zoo`` in the clone of the repository that this package lies in.

    Raises:
        MissingFileError: there is no such folder, or no network of that name in it; those that
            there are are listed.
        FileFormatError: the file is damaged, or of a later version.
    """
    known = known_names(folder)
    folder = _where(folder)
    path = folder / f"{name}.safetensors"
    if name not in known:
        raise MissingFileError(
            f"There is no network {name!r} in {folder}; there is {', '.join(known)}. "
            "Add one of yours with: everyclass zoo add RUN"
        )
    arrays, metadata = load_safetensors(path, "network of the zoo")
    try:
        if metadata["everyclass_zoo"] != _VERSION:
            raise ValueError(f"its version is {metadata['everyclass_zoo']}")
        facts: dict[str, Any] = json.loads(metadata["facts"])
        _check_facts(facts)
        model = build_classifier(
            facts["backbone"], len(facts["class_names"]), seed=0, head=facts["head"]
        )
        model.load_state_dict({key: _widened(value) for key, value in arrays.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        if isinstance(error, KeyError):
            reason = f"it has no {error}"
        elif isinstance(error, RuntimeError):
            reason = "its weights are not those of the network that it says it is"
        raise FileFormatError(f"{path} is not a network of the zoo: {reason}.") from error
    return Trained(name, model.eval(), facts)


def _check_facts(facts: Mapping[str, Any]) -> None:
    """Refuse facts that lack what is asked of them later, by whatever error that gives."""
    DataConfig(**facts["data"])
    if not isinstance(facts["split_fingerprint"], str):
        raise TypeError("its split_fingerprint is no text")
    shape = np.array(facts["per_class_recall"], dtype=np.float64).shape
    if shape != (len(facts["class_names"]),):
        raise ValueError(f"its recalls are {shape}, for {len(facts['class_names'])} classes")
    for number in ("accuracy", "harmonic_mean", "lowest_recall"):
        check_number(number, facts["test"][number], high=1)


def add(
    run: Run,
    *,
    folder: str | Path | None = None,
    overwrite: bool = False,
    data_root: str | Path | None = None,
) -> Trained:
    """Keep a finished run's network, as ``<folder>/<data>/<method>.safetensors``.

    Args:
        run: finished.
        folder: of the zoo; by default :func:`own_folder`.
        overwrite: replace a network of the same name, such as one of another seed.
        data_root: folder to look for the data in.

    Raises:
        OutputExistsError: there is a network of that name.
        InputError: the run is not finished, or a weight is too large for float16.
        RunFailedError: in float16 its accuracy is another than the run's by more than two points.
        DataNotFoundError: the data set's files are not found.
    """
    if run.result is None:
        raise InputError(f"The training in {run.folder} is not finished.")
    config = data_of(run)
    name = _name_of(run, config)
    folder = own_folder() if folder is None else Path(folder)
    path = folder / f"{name}.safetensors"
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} holds a network of that name already; give another folder (--folder), or "
            "replace it with overwrite=True (--overwrite)."
        )
    dataset = load_dataset(config, root=data_root)
    model = load_network(run, dataset.num_classes)
    arrays = {key: _narrowed(key, value) for key, value in model.state_dict().items()}
    model.load_state_dict({key: _widened(value) for key, value in arrays.items()})
    evaluation = _evaluated(model, dataset)
    _check_as_judged(run, evaluation)
    facts = plain_json(
        {
            "method": run.config["method"],
            "backbone": run.config["backbone"],
            "head": run.config["recipe"]["head"],
            "data": config.to_dict(),
            "split_fingerprint": dataset.train.fingerprint,
            "class_names": dataset.class_names,
            "class_counts": dataset.class_counts.counts,
            "test": evaluation.summary(),
            "per_class_recall": evaluation.per_class_recall,
            "run": run.result,
        }
    )
    save_safetensors(path, arrays, {"everyclass_zoo": _VERSION, "facts": json.dumps(facts)})
    return Trained(name, model.eval(), facts)


def _name_of(run: Run, config: DataConfig) -> str:
    data = config.folder_name
    if config.imbalance_ratio == USUAL_RATIO:  # what is meant where no ratio is said
        data = data.replace(f"-ir{USUAL_RATIO:g}", "")
    return f"{data}/{run.config['method']}"


def _check_as_judged(run: Run, evaluation: Evaluation) -> None:
    """Refuse what rounding does not explain, such as other test images than the run's."""
    assert run.result is not None
    judged = float(run.result["test"]["accuracy"])
    if abs(evaluation.accuracy - judged) > _MOST_BY_ROUNDING:
        raise RunFailedError(
            f"The network of {run.folder} has an accuracy of {evaluation.accuracy:.1%} here and "
            f"{judged:.1%} in its result.json, which float16 does not explain; are these the "
            "images that it was judged on?"
        )


def check(
    name: str,
    *,
    folder: str | Path | None = None,
    data_root: str | Path | None = None,
) -> Evaluation:
    """Evaluate a network anew and compare with the recalls that its file holds.

    Raises:
        RunFailedError: the split or a recall is another one.
        DataNotFoundError: the data set's files are not found.
    """
    trained = load(name, folder)
    dataset = load_dataset(DataConfig(**trained.facts["data"]), root=data_root)
    if dataset.train.fingerprint != trained.facts["split_fingerprint"]:
        raise RunFailedError(f"{name} was trained on another split than the data here.")
    evaluation = _evaluated(trained.model, dataset)
    stored = np.array(trained.facts["per_class_recall"], dtype=np.float64)
    now = evaluation.per_class_recall
    other = np.flatnonzero((stored != now) & ~(np.isnan(stored) & np.isnan(now)))  # not tested
    if len(other):
        c = int(other[0])
        raise RunFailedError(
            f"{name} gives other recalls than its file says in {len(other)} classes, the first of "
            f"them {dataset.class_counts.describe(c)}: {evaluation.per_class_recall[c]:.4f} for "
            f"{stored[c]:.4f}."
        )
    return evaluation


def _evaluated(model: Classifier, dataset: Dataset) -> Evaluation:
    device = torch.device("cpu")
    images = image_batches(dataset, dataset.test, device)
    rows, logits = predict_images(model, images, device, "fp32")
    labels, predicted = dataset.test.labels[rows.numpy()], logits.argmax(dim=1).numpy()
    counts = ClassCounts(dataset.class_counts.counts, dataset.class_names)
    return evaluate(labels=labels, predicted=predicted, class_counts=counts)


def _narrowed(name: str, value: torch.Tensor) -> np.ndarray[Any, Any]:
    if not value.is_floating_point():
        return value.numpy()
    narrow = value.half()
    if not narrow.isfinite().all():
        worst = value[~narrow.isfinite()][0].item()
        raise InputError(
            f"{name} holds {worst:g}, which is no finite number in float16 (65,504 at most); the "
            "network would give something else, so it is not kept."
        )
    return narrow.numpy()


def _widened(value: np.ndarray[Any, Any]) -> torch.Tensor:
    tensor = torch.from_numpy(value.copy())
    return tensor.float() if tensor.is_floating_point() else tensor
