"""Extraction and retraining that are killed at any moment end as if they had been left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from everyclass.artifacts import Features, Head, write_npz
from everyclass.data import BatchAugmentation, MemorySource, get_augmentation
from everyclass.errors import InputError, RunFailedError
from everyclass.nn import Classifier
from everyclass.processes import barrier, is_first, joined
from everyclass.stages import (
    MinibatchSettings,
    Retraining,
    extract_into,
    extract_views,
    retrain,
)
from everyclass.stages.extraction.into_folder import extract_views_into
from forked import CONTEXT
from process_pool import free_port

IMAGES, CLASSES = 600, 5
SETTINGS = Retraining(
    penalty=1e-2, solver="running", minibatch=MinibatchSettings(epochs=12, batch_size=32)
)


class Backbone(nn.Module):
    num_features = 24

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 24), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def a_network() -> Classifier:
    torch.manual_seed(0)
    return Classifier(Backbone(), nn.Linear(24, CLASSES))


def some_images() -> tuple[BatchAugmentation, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(IMAGES) % CLASSES
    pixels = torch.randint(0, 180, (IMAGES, 8, 8, 3), generator=generator)
    pixels += 15 * labels.view(-1, 1, 1, 1)
    images = BatchAugmentation(
        pixels.to(torch.uint8),
        transforms=get_augmentation("basic", crop_padding=1, flip=False),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        device=torch.device("cpu"),
    )
    return images, labels


def extract_and_retrain(folder: Path) -> None:
    """The job."""
    images, labels = some_images()
    features = extract_views_into(
        folder / "features",
        a_network(),
        MemorySource([images]),
        labels,
        num_views=3,
        device=torch.device("cpu"),
        precision="fp32",
        class_names=list("abcde"),
        batch_size=16,
        chunk_rows=20,
    )
    kept = Retraining(**{**vars(SETTINGS), "checkpoints": folder / "kept"})
    head = retrain(features, kept)
    if is_first():
        head.save(folder / "head.safetensors")
    barrier()


def _take_part(rank: int, size: int, port: int, folder: Path) -> None:
    """One process of the job, as torchrun starts it."""
    if size > 1:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    try:
        with joined("cpu"):
            extract_and_retrain(folder)
    except Exception as error:
        (folder / f"said-{rank}.txt").write_text(f"{type(error).__name__}: {error}")
        os._exit(1)


class Job:
    """Processes that are there in milliseconds, as the libraries are loaded already."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(exist_ok=True)
        port = free_port()
        self._processes = [
            CONTEXT.Process(target=_take_part, args=(rank, size, port, folder))
            for rank in range(size)
        ]
        for process in self._processes:
            process.start()

    def killed_after(self, seconds: float, rank: int) -> bool:
        """Kill one process, unless it was ready before; whether it was killed."""
        victim = self._processes[rank]
        victim.join(seconds)
        if victim.exitcode is not None:
            self.ended()
            return False
        os.kill(victim.pid, signal.SIGKILL)
        for process in self._processes:
            process.join(20)
            process.terminate()  # as torchrun ends those that still wait for all to be there
        self.ended()
        return True

    def ended(self) -> list[int]:
        """The exit codes; no process may wait for ever."""
        for process in self._processes:
            process.join(120)
            assert process.exitcode is not None, "a process waits for one that is no more"
        return [process.exitcode for process in self._processes]


def content(folder: Path) -> dict[str, bytes]:
    files = [*(folder / "features").glob("*.npy"), folder / "features" / "features.json"]
    head = Head.load(folder / "head.safetensors")
    found = {file.name: file.read_bytes() for file in files}
    return {**found, "head": head.weight.tobytes() + head.bias.tobytes()}


def undisturbed(folder: Path, size: int) -> tuple[dict[str, bytes], float]:
    """What a job leaves, and how long it takes."""
    start = time.monotonic()
    assert Job(folder, size).ended() == [0] * size
    return content(folder), time.monotonic() - start


def kill_again_and_again(place: Path, size: int, kills: int, seed: int) -> None:
    expected, seconds = undisturbed(place / "undisturbed", size)
    luck = random.Random(seed)
    done = attempt = 0
    while done < kills:
        attempt += 1
        folder = place / f"killed-{attempt}"
        # Each job is killed up to four times before it may end.
        for _ in range(min(4, kills - done)):
            if not Job(folder, size).killed_after(seconds * luck.random(), luck.randrange(size)):
                break
            done += 1
        assert Job(folder, size).ended() == [0] * size
        assert content(folder) == expected
        assert not list(folder.rglob("*.tmp-*")) or size > 1


@pytest.mark.parametrize("size", [1, 2])
def test_a_job_killed_at_random_moments_ends_as_one_left_alone(tmp_path, size):
    kill_again_and_again(tmp_path, size, kills=3, seed=size)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_a_job_killed_fifty_times_ends_as_one_left_alone(tmp_path, size):
    kill_again_and_again(tmp_path, size, kills=50, seed=10 + size)


def test_the_rest_is_made_by_another_number_of_processes(tmp_path):
    expected, seconds = undisturbed(tmp_path / "one", 1)
    folder = tmp_path / "other"
    Job(folder, 2).killed_after(0.5 * seconds, rank=1)
    assert Job(folder, 3).ended() == [0] * 3
    found = content(folder)
    for name in expected.keys() - {"head"}:
        assert found[name] == expected[name], name
    ours, theirs = (
        Head.load(tmp_path / which / "head.safetensors").weight for which in ("one", "other")
    )
    np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-3)


def test_who_is_left_says_what_happened(tmp_path):
    job = Job(tmp_path / "x", 2)
    while not list((tmp_path / "x").glob("features/chunk-*.json")):
        time.sleep(0.005)
    assert job.killed_after(0, rank=1)
    said = (tmp_path / "x" / "said-0.txt").read_text()
    assert said.startswith("RunFailedError: Another process of this job has ended")
    assert "Start the same command again" in said


# --- the folder of any network's features ---------------------------------------------------------


class Numbers(torch.utils.data.Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 23

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.full((6,), float(index)), index % 3


def test_any_network_and_data_set_go_into_a_folder(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    features = extract_into(
        tmp_path / "x", network, Numbers(), chunk_rows=10, batch_size=4, dtype="float32"
    )
    assert features.labels.tolist() == [i % 3 for i in range(23)]
    inputs = torch.stack([Numbers()[i][0] for i in range(23)])
    with torch.no_grad():
        np.testing.assert_allclose(features.features, network[:2](inputs), rtol=1e-6)
        np.testing.assert_allclose(
            features.head.logits(features.features), network(inputs), rtol=1e-5, atol=1e-6
        )
    again = extract_into(
        tmp_path / "x", network, Numbers(), chunk_rows=10, batch_size=4, dtype="float32"
    )
    np.testing.assert_array_equal(again.features, features.features)


class Named(Numbers):
    """As ImageFolder and its like: it knows what its classes are called."""

    classes = ("a", "b", "c")


def test_a_folder_knows_the_names_of_the_classes_and_takes_them_as_labels(tmp_path):
    network = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    assert extract_into(tmp_path / "x", network, Named()).class_names == Named.classes
    words = [(Numbers()[i][0], "zyx"[i % 3]) for i in range(23)]
    features = extract_into(tmp_path / "y", network, words, class_names=("z", "y", "x"))  # type: ignore[arg-type]
    assert features.labels.tolist() == [i % 3 for i in range(23)]


class Spoken(Named):
    """Its labels are the names of its classes."""

    def __getitem__(self, index: int) -> tuple[Tensor, str]:  # type: ignore[override]
        return Numbers()[index][0], self.classes[index % 3]


def test_a_folder_takes_the_names_that_the_data_set_knows_as_labels(tmp_path):
    network = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    features = extract_into(tmp_path / "x", network, Spoken(), chunk_rows=10)
    assert features.labels.tolist() == [i % 3 for i in range(23)]
    assert features.class_names == Named.classes
    with pytest.raises(InputError, match="data set knows 3 classes and the network 4"):
        extract_into(tmp_path / "y", nn.Linear(6, 4), Named())
    assert not (tmp_path / "y").exists()


class Moody(MemorySource):
    """One picture cannot be read in the plain view, and another one in those that follow."""

    def _lost(self, batches: Any, lost: int) -> list[Tensor]:
        return [rows[rows != lost] for rows in batches]

    def plain(self, batches: Any, **options: Any) -> Any:
        return super().plain(self._lost(batches, 1), **options)

    def augmented(self, batches: Any, generator: torch.Generator, **options: Any) -> Any:
        return super().augmented(self._lost(batches, 2), generator, **options)


def test_views_of_other_pictures_are_not_put_together(tmp_path: Path) -> None:
    """As many could be read of either view, but not the same ones."""
    images, labels = some_images()
    common: dict[str, Any] = {"num_views": 2, "device": torch.device("cpu"), "precision": "fp32"}
    common["class_names"] = list("abcde")
    given = (a_network(), Moody([images]), labels)
    other = "View 2 is of other pictures than the views before"
    with pytest.raises(RunFailedError, match=other):
        extract_views_into(tmp_path, *given, **common)
    with pytest.raises(RunFailedError, match=other):
        extract_views(*given, **common)


def test_a_folder_of_other_images_is_not_gone_on_with(tmp_path):
    network = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    extract_into(tmp_path / "x", network, Numbers())
    moved = [(Numbers()[i][0] + 1, i % 3) for i in range(23)]
    turned = [(Numbers()[i][0], (i + 1) % 3) for i in range(23)]
    for others in moved, turned:
        with pytest.raises(InputError, match="holds features of other images"):
            extract_into(tmp_path / "x", network, others)  # type: ignore[arg-type]


def test_a_folder_is_gone_on_with_by_the_same_layer_only(tmp_path):
    network = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 3))
    made = extract_into(tmp_path / "x", network, Numbers())
    again = extract_into(tmp_path / "x", nn.DataParallel(network), Numbers())
    np.testing.assert_array_equal(again.features, made.features)
    with pytest.raises(InputError, match="begun with another plan"):
        extract_into(tmp_path / "x", network, Numbers(), class_names=("a", "b", "c"))


class Wordy(nn.Linear):
    """A layer that warns, from one place, whenever it is asked."""

    def forward(self, input: Tensor) -> Tensor:
        warnings.warn("said once is enough", stacklevel=1)
        return super().forward(input)


def test_a_network_that_warns_is_heard_once_and_not_in_every_chunk(tmp_path: Path) -> None:
    network = nn.Sequential(Wordy(6, 4), nn.ReLU(), nn.Linear(4, 3))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        extract_into(tmp_path / "x", network, Numbers(), chunk_rows=4)
    assert [str(each.message) for each in said] == ["said once is enough"]


# --- under torchrun -------------------------------------------------------------------------------


def torchrun(size: int, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size)]
    command += ["--master-port", str(free_port()), *map(str, arguments)]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_rescue_of_a_folder_under_torchrun(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = generator.normal(size=(120, 6)) + np.eye(3, 6)[labels]
    from everyclass.artifacts import FeatureFolder

    folder = FeatureFolder(tmp_path / "train", num_images=120, num_features=6, chunk_rows=50)
    for chunk in folder.missing():
        rows = list(folder.rows(chunk))
        folder.write(chunk, features[rows], labels[rows])
    folder.finish(head=Head(np.eye(3, 6), np.zeros(3)))
    write_npz(tmp_path / "val.npz", {"features": features[:60] + 0.1, "labels": labels[:60]})
    job = torchrun(
        2, "-m", "everyclass", "rescue", tmp_path / "train", "--val", tmp_path / "val.npz",
        "--out", tmp_path / "out", "--solver", "running", "--penalty", "0.1", "--epochs", "3", "-q",
    )  # fmt: skip
    said, _ = job.communicate(timeout=240)
    assert job.returncode == 0, said
    assert said.count("Report: ") == 1  # the first process speaks, the other is silent
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"head.safetensors", "report.html", "result.json"} <= names
    assert not any(name.startswith(".") for name in names)
    assert Features.load(tmp_path / "train").head is not None


def _children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(number) for number in listed]


def test_a_training_whose_process_is_killed_ends_with_a_message_and_goes_on(tmp_path):
    arguments = (
        "-m", "everyclass", "pretrain", "ce", "--data", "digits-lt", "--epochs", "60", "-q",
        "--out", tmp_path / "run",
    )  # fmt: skip
    job = torchrun(2, *arguments)
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 200
    while not (log.is_file() and len(log.read_text().splitlines()) >= 2):
        assert job.poll() is None, job.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(_children(job.pid)[-1], signal.SIGKILL)
    said, _ = job.communicate(timeout=200)
    assert job.returncode != 0
    assert "Signal 9 (SIGKILL)" in said or "Another process of this job has ended" in said
    before = len(log.read_text().splitlines())
    assert before < 60
    one = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert one.returncode == 0, one.stderr
    assert len(log.read_text().splitlines()) == 60
