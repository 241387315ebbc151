"""Two machines, as far as one machine can be two: a network namespace each, and a cable between."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyclass import Run

pytestmark = pytest.mark.slow
NODES = ("everyclass-a", "everyclass-b")
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def nodes() -> Iterator[None]:
    """Both namespaces, connected; they see nothing else."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    try:
        for node in NODES:
            ip("netns", "add", node)
        ip("link", "add", "ec-a", "netns", NODES[0], "type", "veth",
           "peer", "name", "ec-b", "netns", NODES[1])  # fmt: skip
        for node, link, address in zip(NODES, ("ec-a", "ec-b"), ADDRESSES, strict=True):
            ip("-n", node, "addr", "add", f"{address}/24", "dev", link)
            ip("-n", node, "link", "set", link, "up")
            ip("-n", node, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    yield
    for node in NODES:
        subprocess.run(["ip", "netns", "del", node], check=False, capture_output=True)


def test_two_nodes_train_one_network(nodes: None, tmp_path: Path) -> None:
    jobs = []
    for number, (node, link) in enumerate(zip(NODES, ("ec-a", "ec-b"), strict=True)):
        command = ["ip", "netns", "exec", node, sys.executable, "-m", "torch.distributed.run"]
        command += ["--nnodes", "2", "--node-rank", str(number), "--nproc-per-node", "2"]
        command += ["--master-addr", ADDRESSES[0], "--master-port", "29500"]
        command += ["-m", "everyclass", "pretrain", "ce", "--data", "digits-lt"]
        command += ["--epochs", "2", "--device", "cpu", "-q", "--out", str(tmp_path / "run")]
        jobs.append(
            subprocess.Popen(
                command,
                env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": link},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    said = [job.communicate(timeout=600)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], "\n".join(said)
    run = Run.open(tmp_path / "run")
    assert run.result is not None
    assert run.result["processes"] == 4
    assert "test set, last epoch" in said[0]
    assert "test set" not in said[1]
