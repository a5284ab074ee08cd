"""The node's own nvidia-cuda-mps-control: where it is, and how commands reach a daemon that runs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import structlog

from partita_driver.mps.daemons import MpsDaemon
from partita_plugins.errors import Permanent
from partita_plugins.rooted import DRIVER_CONTAINER, seen

log = structlog.get_logger(__name__)

PROGRAM = "usr/bin/nvidia-cuda-mps-control"
ANSWER_SECONDS = 2.0
SAID_MAX = 200
"""Characters of its output in a line of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverRoot:
    """The root that has NVIDIA's programs and libraries."""

    on_node: Path
    program: Path
    """nvidia-cuda-mps-control, where this process sees it."""


def find_root(host_root: Path, driver_root: Path) -> DriverRoot:
    """The root with nvidia-cuda-mps-control in it. Raises Permanent where there is none."""
    candidates = (driver_root, Path(DRIVER_CONTAINER))
    for on_node in candidates:
        program = seen(seen(host_root, str(on_node)), f"/{PROGRAM}")
        if program.exists():
            return DriverRoot(on_node=on_node, program=program)
    raise Permanent(
        f"there is no /{PROGRAM} under {' or '.join(map(str, candidates))} of the node",
        advice='install NVIDIA\'s driver with its compute utilities, or leave "sharing: MPS" out of the claim',
    )


def commands(daemon: MpsDaemon) -> str:
    """What gives a daemon its limits; without any, a question that does nothing."""
    lines = []
    if daemon.active_thread_percentage is not None:
        lines.append(f"set_default_active_thread_percentage {daemon.active_thread_percentage}")
    if daemon.memory_mib is not None:
        lines.append(f"set_default_device_pinned_mem_limit {daemon.gpu_uuid} {daemon.memory_mib}M")
    return "".join(f"{line}\n" for line in lines or ["get_default_active_thread_percentage"])


def tell(program: Path, daemon: MpsDaemon) -> bool:
    """Send a daemon its commands. False: nobody answered within a moment."""
    if not any(daemon.folders.pipe.iterdir()):
        return False
    try:
        done = subprocess.run(
            [program],
            input=commands(daemon),
            env={**os.environ, "CUDA_MPS_PIPE_DIRECTORY": str(daemon.folders.pipe)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("an MPS daemon was not reached", claim=daemon.claim_uid, error=str(error))
        return False
    if done.returncode:
        log.info("an MPS daemon did not answer", claim=daemon.claim_uid, said=done.stdout.strip()[-SAID_MAX:])
    return done.returncode == 0
