"""Processes that are there at once: forked from a server that has imported everything."""

from __future__ import annotations

import multiprocessing

# One list for all tests: the first one that starts a process starts the server.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "torch.distributed",
        "everyclass.stages",
        "everyclass.methods",
        "everyclass.cli.app",
        "sklearn.datasets",
    ]
)
