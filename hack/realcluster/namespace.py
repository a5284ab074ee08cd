"""The namespaces of the cluster: started with one process, entered by name, ended with one signal."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout
from hack.realcluster.node_paths import NodePath

SUPERVISE = "_supervise"
HOLD = "_hold"
PROGRAM = Path(__file__).resolve().parent.parent / "cluster"

_END_MILLISECONDS = 30_000
_COLLECT_SECONDS = 3.0


def start(layout: Layout, path: str) -> None:
    """Start the supervisor as process 1 of a new PID namespace, with mounts nobody else sees."""
    flags = ("--fork", "--pid", "--mount", "--mount-proc", "--propagation", "private")
    command = ("unshare", *flags, "--", *_this_program(), SUPERVISE, str(layout.root))
    with layout.log("supervisor").open("ab") as log:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PATH": path},
            # A Ctrl-C in the terminal of `up` is not for the cluster.
            start_new_session=True,
        )


def holder_command(node_folder: Path, extra: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command of the process that makes and keeps a node's mount namespace."""
    program = (*_this_program(), HOLD, str(node_folder), *extra)
    return ("unshare", "--mount", "--propagation", "private", "--", *program)


def hold(paths: tuple[NodePath, ...], ready: Path) -> None:
    """Mount a node's folders over the standard paths, say so, and stay for others to enter."""
    for path in paths:
        subprocess.run(["mount", "--bind", str(path.source), path.inside], check=True)
    # Volumes with mount propagation need shared mounts, as on a machine of its own.
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    ready.touch()
    os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606 - this becomes it


def find(layout: Layout) -> int | None:
    """Return the pid of the cluster's process 1 as seen from here, or nothing when none runs."""
    for pid in _processes(layout):
        if _is_first_in_namespace(pid):
            return pid
    return None


def kill(layout: Layout) -> bool:
    """End every process of the cluster; say whether there was one."""
    ended: list[int] = []
    # Over the list again, for an `unshare` that started the supervisor just before it was killed.
    while pids := list(_processes(layout)):
        for pid in pids:
            _kill(pid)
        ended += pids
    # The machine's process 1 may take its time to collect them.
    deadline = time.monotonic() + _COLLECT_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in ended) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(ended)


def enter(init: int, holder: int) -> tuple[str, ...]:
    """Return the beginning of a command that runs in a node: its mounts, the cluster's processes."""
    mounts = f"/proc/{init}/root/proc/{holder}/ns/mnt"
    return ("nsenter", f"--pid=/proc/{init}/ns/pid", f"--mount={mounts}", "--")


def _this_program() -> tuple[str, ...]:
    # -I keeps the caller's PYTHONPATH out of a process that may live for days.
    return (sys.executable, "-I", str(PROGRAM))


def _processes(layout: Layout) -> Iterator[int]:
    """Yield the processes whose command line says that they supervise this very cluster."""
    ending = [SUPERVISE.encode(), str(layout.root).encode(), b""]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if command.split(b"\0")[-3:] == ending:
            yield int(entry.name)


def _is_first_in_namespace(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
    numbers = line.split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1"


def _kill(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(_END_MILLISECONDS):
            msg = f"Process {pid} does not end after SIGKILL; look at /proc/{pid}/stack, then run down again."
            raise ClusterError(msg)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
