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


def checked(tmp_path: Path, program: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text("[mypy]\n", encoding="utf-8")
    source = Path(everyclass.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "program.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(source), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_package_says_that_it_is_typed():
    spec = importlib.util.find_spec("everyclass")
    assert spec is not None
    assert spec.origin is not None
    assert (Path(spec.origin).parent / "py.typed").is_file()


def test_a_callers_program_passes_strictly(tmp_path):
    done = checked(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_callers_mistakes_are_found(tmp_path):
    done = checked(tmp_path, MISTAKES)
    assert done.returncode == 1
    assert "program.py:4" in done.stdout
    assert "program.py:5" in done.stdout
    assert "program.py:6" in done.stdout
