"""The command as a person starts it, who can stop it: tests may run where SIGINT is ignored."""

from __future__ import annotations

import signal

import torch

from everyclass.cli import main


def by_hand(arguments: list[str]) -> None:
    """Run the command with Python's own way to deal with Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    main(arguments)
