"""A caller's program passes `mypy --strict` against the package as it is installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import everyclass

pytest.importorskip("mypy", reason="pip install mypy")

PROGRAM = """
import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

import everyclass as ec
from everyclass.losses import gml_loss
from everyclass.metrics import harmonic_mean
from everyclass.progress import Progress, progress


def rescued(model: nn.Module, train: ec.Features, test: ec.Features) -> nn.Module:
    result: ec.RescueResult = ec.rescue(train, strategy="auto")
    before, after = result.evaluate(test)
    gain: float = after.harmonic_mean - before.harmonic_mean
    found: ec.Comparison = ec.compare(result.predict(test, "old"), result.predict(test))
    names: tuple[int, ...] = found.rose
    print(result.verdict.reason, gain, names)
    return result.to_module(model)


def judged(labels: npt.NDArray[np.int64], logits: npt.NDArray[np.float32]) -> ec.Evaluation:
    evaluation = ec.evaluate(labels=labels, logits=logits)
    lowest: float = evaluation.lowest_recall
    mean: float = harmonic_mean(evaluation.per_class_recall)
    print(lowest, mean)
    return evaluation


def found(model: nn.Module, loader: list[tuple[Tensor, Tensor]]) -> str:
    features: ec.Features = ec.extract(model, loader, head="fc")
    classifier = ec.RescueClassifier(penalty=0.1).fit(features.features, features.labels)
    said = classifier.result_.predict(features, "old")
    diagnosis: ec.Diagnosis = ec.diagnose(said, train=features)
    return f"{diagnosis} {ec.report(said, 'report.html')}"


def loss(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    return gml_loss(logits, labels, counts)


def retrained(train: ec.Features, show: Progress = progress) -> ec.RescueResult:
    return ec.rescue(train, show=show)


images: int = ec.samples_needed(recall=0.8, half_width=0.05)
"""
MISTAKES = """
import everyclass as ec

images: str = ec.samples_needed(recall=0.8, half_width=0.05)
ec.evaluate(label=[0, 1])
ec.rescue(ec.Features.load("train.npz"), show=True)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of both programs, one line for each error."""
    folder = tmp_path_factory.mktemp("caller")
    for name, text in (("program.py", PROGRAM), ("mistakes.py", MISTAKES), ("mypy.ini", "[mypy]")):
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "program.py", "mistakes.py"],
        cwd=folder,
        env={
            "MYPYPATH": str(Path(everyclass.__file__).parents[1]),
            "PATH": "",
            "HOME": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_the_package_says_that_it_is_typed() -> None:
    spec = importlib.util.find_spec("everyclass")
    assert spec is not None
    assert spec.origin is not None
    assert (Path(spec.origin).parent / "py.typed").is_file()


def test_a_callers_program_passes_strictly(said: str) -> None:
    assert "program.py" not in said


def test_a_callers_mistakes_are_found(said: str) -> None:
    for line in (4, 5, 6):
        assert f"mistakes.py:{line}" in said
