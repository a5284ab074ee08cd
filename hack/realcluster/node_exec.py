"""Runs a command of the machine inside a node: its mounts, the cluster's processes, the machine's network."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from hack.realcluster import binaries, modules, namespace, state
from hack.realcluster.control import Control
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# The kernel kills each process of the chain when the one before it ends, however that ended.
_DIE_TOGETHER = ("setpriv", "--pdeathsig", "KILL", "--")


def node_exec(layout: Layout, node: str, command: Sequence[str]) -> int:
    """Run a command in a node and return its exit code; signals sent to this process reach it."""
    init, known = namespace.find(layout), state.load(layout)
    if init is None or known is None:
        msg = "No cluster runs: hack/cluster up starts one."
        raise ClusterError(msg)
    if node not in known.nodes:
        msg = f"There is no node {node}: choose from {', '.join(known.nodes)}."
        raise ClusterError(msg)
    environment = {
        **os.environ,
        "PATH": binaries.path_of(modules.for_cluster(known.version)),
        "CONTAINERD_ADDRESS": "/run/containerd/containerd.sock",
        "CONTAINERD_NAMESPACE": "k8s.io",
    }
    inside = namespace.enter(init, Control(layout).pid(f"namespace-{node}"))
    # Entering a mount namespace moves a process to its root; the caller's folder is put back.
    full = (*_DIE_TOGETHER, *inside, *_DIE_TOGETHER, "env", f"--chdir={Path.cwd()}", *command)
    setpriv = shutil.which(full[0]) or full[0]
    with subprocess.Popen([setpriv, *full[1:]], env=environment) as process:
        _forward_signals(process.pid)
        code = process.wait()
    return code if code >= 0 else 128 - code


def _forward_signals(entered: int) -> None:
    """Pass signals on to the command, which is the child of the process that entered the namespaces."""

    def forward(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and sys.stdin.isatty():
            # The terminal has sent it to the command as well.
            return
        children = Path(f"/proc/{entered}/task/{entered}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                os.kill(int(child), number)

    for number in _FORWARDED:
        signal.signal(number, forward)
