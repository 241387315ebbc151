"""Taking part in a job: what is in the environment, and which errors mean a lost process."""

from __future__ import annotations

import socket

import pytest

from everyclass.errors import InputError, RunFailedError
from everyclass.processes import joined


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """That of a job of one process."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("WORLD_SIZE", "abc", "1 or more"),
        ("WORLD_SIZE", "0", "1 or more"),
        ("RANK", "", "0 to 0"),
        ("RANK", "1", "0 to 0"),
        ("MASTER_PORT", "http", "0 to 65535"),
    ],
)
def test_numbers_of_the_environment(
    name: str, value: str, allowed: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(name, value)
    said = f"variable {name} must be a whole number, {allowed}; it is {value!r}. Start several"
    with pytest.raises(InputError, match=said), joined("cpu"):
        pass


def test_the_number_on_this_machine(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LOCAL_RANK", "first")
    with pytest.raises(InputError, match="variable LOCAL_RANK must be"), joined("cuda"):
        pass


def test_a_variable_that_is_not_there(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("MASTER_ADDR")
    with pytest.raises(InputError, match="WORLD_SIZE is set and MASTER_ADDR is not"), joined("cpu"):
        pass


@pytest.mark.parametrize(
    "error",
    [
        RunFailedError("The class 'igloo/white' has connection reset by peer in its name."),
        RuntimeError("The folder igloo/ has no pictures, and the NCCL library is not there."),
    ],
)
def test_errors_that_mean_no_lost_process(
    error: Exception, environment: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error)) as caught, joined("cpu"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "said",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] writev: Broken pipe",
        "Connection closed by peer [127.0.0.1]:4711",
        "NCCL communicator was aborted on rank 1.",
    ],
)
def test_errors_that_mean_a_lost_process(said: str, environment: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(RunFailedError, match="Another process of this job has ended"),
        joined("cpu"),
    ):
        raise RuntimeError(said)
