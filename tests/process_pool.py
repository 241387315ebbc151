"""A few processes that torch.distributed connects, started once for all tests."""

from __future__ import annotations

import os
import socket
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forked import CONTEXT

SIZE = 4


class ProcessPool:
    """Processes that run a function together, each on its own arguments.

    >>> pool.run(function, [args of rank 0, args of rank 1])   # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="process-pool-")
        meeting = Path(self._folder.name) / "meeting"
        ends = [CONTEXT.Pipe() for _ in range(SIZE)]
        self._pipes = [ours for ours, _ in ends]
        self._processes = [
            CONTEXT.Process(target=_work, args=(rank, str(meeting), theirs), daemon=True)
            for rank, (_, theirs) in enumerate(ends)
        ]
        for process in self._processes:
            process.start()

    def run(self, function: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> list[Any]:
        """Call ``function(group, *arguments[rank])`` in as many processes as there are arguments.

        Returns what each returned, or an AssertionError with its traceback in its place.
        """
        pipes = self._pipes[: len(arguments)]
        for pipe, args in zip(pipes, arguments, strict=True):
            pipe.send((function, len(arguments), args))
        answers = []
        for pipe in pipes:
            assert pipe.poll(600), "a process of the pool does not answer"
            answers.append(pipe.recv())
        for answer in answers:
            if isinstance(answer, AssertionError):
                raise answer
        return answers

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(20)
        self._folder.cleanup()


def _work(rank: int, meeting: str, pipe: Any) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=SIZE)
    groups = {size: dist.new_group(list(range(size))) for size in (1, 2, SIZE)}
    while (task := pipe.recv()) is not None:
        function, size, args = task
        try:
            pipe.send(function(groups[size], *args))
        except BaseException:
            pipe.send(AssertionError(f"in process {rank}:\n{traceback.format_exc()}"))
    dist.destroy_process_group()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
