"""NVIDIA's kernel module that is loaded only when somebody asks: nvidia-uvm, without which no CUDA program starts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from partita_plugins.backends.nvml.library import Roots, with_driver_containers
from partita_plugins.rooted import seen

log = structlog.get_logger(__name__)

MODPROBE = ("/sbin/modprobe", "nvidia-uvm")
"""In the driver's root, as NVIDIA's container toolkit does (pkg/system/nvmodules). Its node is made by the runtime."""

DEADLINE_SECONDS = 10.0

Run = Callable[[Sequence[str]], str]
"""Runs a command; what went wrong, or nothing."""


class Modules:
    """The node's modprobe. It looks for modules under /, so it runs within the root that has the driver."""

    def __init__(self, roots: Roots, *, run: Run | None = None) -> None:
        self._roots, self._run = roots, run or _run

    def load(self) -> None:
        """Ask for the module. No error: whoever needs it sees whether it is there now."""
        for root in with_driver_containers(self._roots):
            if not seen(root, MODPROBE[0]).exists():
                continue
            wrong = self._run(MODPROBE if root == Path("/") else ("chroot", str(root), *MODPROBE))
            log.info("asked for nvidia-uvm", root=str(root), wrong=wrong)
            if not wrong:
                return


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip()[-200:] or f"exit status {done.returncode}") if done.returncode else ""
