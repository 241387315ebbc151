"""What `import everyclass` gives, and what it leaves alone."""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
from importlib.metadata import version

import pytest

import everyclass


@pytest.mark.parametrize("name", everyclass.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    thing = getattr(everyclass, name)
    assert inspect.getdoc(thing), f"everyclass.{name} has no docstring"
    assert name in dir(everyclass)


def test_names_are_sorted_and_distinct() -> None:
    assert everyclass.__all__ == sorted(set(everyclass.__all__))


def test_the_version_is_the_installed_one() -> None:
    assert everyclass.__version__ == version("everyclass")


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'everyclass' has no attribute 'recsue'"):
        _ = everyclass.recsue


def test_a_name_that_is_nearly_right() -> None:
    with pytest.raises(AttributeError, match="did you mean 'rescue'"):
        _ = everyclass.rescu


ROOMS_AT_ONCE = """
import everyclass as ec
for name in sorted({*dir(ec)} - {*ec.__all__}):
    getattr(ec, name)
ec.integrations.sklearn.RescueClassifier, ec.data.ClassBalanced, ec.metrics.gate
"""


def test_every_room_is_there_without_an_import_of_its_own() -> None:
    """In a process of its own: once a room is imported, it is an attribute in any case."""
    done = subprocess.run(
        [sys.executable, "-c", ROOMS_AT_ONCE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'sklaern'"):
        _ = everyclass.integrations.sklaern


def test_no_room_bears_the_name_of_a_function() -> None:
    """Importing it would put the room in the function's place."""
    rooms = {module.name for module in pkgutil.iter_modules(everyclass.__path__)}
    functions = {n for n in everyclass.__all__ if inspect.isfunction(getattr(everyclass, n))}
    assert {"rescue", "extract", "evaluate", "pretrain", "adjust"} <= functions
    reserved = functions | {"compare", "report", "gate"}
    assert not rooms & reserved


# Every room that a user may import: each name in its __all__ is there.
ROOMS = ("adjustment", "artifacts", "bench", "data", "errors", "losses", "methods", "metrics",
         "nn", "progress", "reporting", "stages", "training")  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_is_in_it(room: str) -> None:
    module = __import__(f"everyclass.{room}", fromlist=["x"])
    assert module.__doc__
    assert module.__all__ == sorted(set(module.__all__), key=module.__all__.index)
    for name in module.__all__:
        assert getattr(module, name) is not None


IMPORTS = """
import ctypes, os, sys
import everyclass
from everyclass import ClassCounts, Evaluation, Features, Head, InputError, Predictions, evaluate
import everyclass.adjustment, everyclass.artifacts, everyclass.bench, everyclass.errors
import everyclass.metrics
evaluate(labels=[0, 1], predicted=[0, 0])
everyclass.adjust(labels=[0, 1, 1] * 4, logits=[[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]] * 4)
said = Predictions([0, 1], predicted=[0, 0])
everyclass.compare(said, said)
everyclass.samples_needed(recall=0.5, lift=0.1)
assert "torch" not in sys.modules, "torch"
assert "sklearn" not in sys.modules, "sklearn"

import torch, sklearn.datasets, scipy.optimize, altair, vl_convert  # what others change is theirs
before = dict(os.environ)
threads = torch.get_num_threads(), torch.get_num_interop_threads()
state = torch.get_rng_state()
dtype = torch.get_default_dtype()

class Library:
    def __init__(self, name, *rest, **options):
        self.name = name
    def __getattr__(self, name):
        assert name not in ("mallopt", "setenv"), name
        raise AttributeError(name)

ctypes.CDLL = Library
for name in everyclass.__all__:
    getattr(everyclass, name)
import everyclass.cli.app, everyclass.methods, everyclass.training, everyclass.reporting
import everyclass.bench.run
everyclass.get_method("ce")
assert (torch.get_num_threads(), torch.get_num_interop_threads()) == threads, "threads"
assert torch.equal(torch.get_rng_state(), state), "generator"
assert torch.get_default_dtype() == dtype, "dtype"
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
try:
    everyclass.training.keep_large_buffers()
except AssertionError as error:  # and had it been called, it would have been noticed
    assert str(error) == "mallopt"
    print("fine")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_importing_changes_nothing_and_needs_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fine\n"


FAULTS = """
import mmap, resource, sys
import torch
from everyclass.training import keep_large_buffers

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(8 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
if not keep_large_buffers():
    sys.exit("no glibc")
faults()
print(first, faults())
"""


def test_kept_buffers_cost_no_page_faults() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, timeout=120, check=False
    )
    if "no glibc" in done.stderr:
        pytest.skip("the allocator is not glibc's")
    before, after = map(int, done.stdout.split())
    assert after < before / 5
