"""Process 1 of the cluster's PID namespace: starts and stops the components, and reaps what they leave.

A kill of this one process ends every other one with it, because the kernel empties a PID namespace whose
process 1 is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.realcluster.layout import Layout

_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02


@dataclass(slots=True)
class _Process:
    command: tuple[str, ...]
    node_holder: str | None
    pid: int
    exit_code: int | None = None


class Supervisor:
    """Holds the processes by name and answers one request at a time."""

    def __init__(self, layout: Layout) -> None:
        """Begin with no component."""
        self._layout = layout
        self._processes: dict[str, _Process] = {}

    def run(self) -> None:
        """Answer requests until killed."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with _listen(self._layout.control_socket) as server, selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is server:
                        self._serve(server)
                    else:
                        os.read(wake_read, 4096)
                self._reap()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request and return its answer."""
        operation, name = request.get("operation"), str(request.get("name", ""))
        if operation == "start":
            return self._start(name, tuple(request["command"]), request.get("holder"))
        if operation == "list":
            return {name: _describe(process) for name, process in self._processes.items()}
        if name not in self._processes:
            known = ", ".join(sorted(self._processes))
            return {"error": f"There is no component {name}: choose from {known}."}
        if operation == "stop":
            return self._stop(name)
        if operation == "start-again":
            process = self._processes[name]
            return self._start(name, process.command, process.node_holder)
        return {"error": f"unknown operation {operation}"}

    def _serve(self, server: socket.socket) -> None:
        connection, _ = server.accept()
        # A client that went away is no reason to end the cluster.
        with connection, contextlib.suppress(OSError, ValueError, KeyError):
            connection.settimeout(5)
            with connection.makefile("rwb") as stream:
                answer = self.answer(json.loads(stream.readline()))
                stream.write(json.dumps(answer).encode() + b"\n")

    def _start(self, name: str, command: tuple[str, ...], holder: str | None) -> dict[str, Any]:
        old = self._processes.get(name)
        if old and old.exit_code is None:
            return {"error": f"{name} runs already: restart it instead."}
        full = command
        if holder:
            full = ("nsenter", f"--mount=/proc/{self._processes[holder].pid}/ns/mnt", "--", *command)
        log = str(self._layout.log(name))
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            pid = os.posix_spawnp(
                full[0],
                full,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, append, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                # Python ignores SIGPIPE, and a child would inherit that.
                setsigdef=[signal.SIGPIPE],
            )
        except OSError as error:
            return {"error": f"{name} does not start: {error}"}
        self._processes[name] = _Process(command, holder, pid)
        return {"pid": pid}

    def _stop(self, name: str) -> dict[str, Any]:
        """End one process and nothing it started: a kubelet's containers go on without it."""
        process = self._processes[name]
        self._reap()
        if process.exit_code is not None:
            return {}
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(process.pid, number)
            deadline = time.monotonic() + _STOP_SECONDS
            while time.monotonic() < deadline:
                self._reap()
                if process.exit_code is not None:
                    return {}
                time.sleep(_POLL_SECONDS)
        return {"error": f"{name} does not end, not even by SIGKILL."}

    def _reap(self) -> None:
        """Collect every process that has ended: components, and what their children left behind."""
        by_pid = {process.pid: process for process in self._processes.values() if process.exit_code is None}
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid in by_pid:
                    by_pid[pid].exit_code = os.waitstatus_to_exitcode(status)


def _describe(process: _Process) -> dict[str, Any]:
    return {"pid": process.pid, "exit_code": process.exit_code}


def _listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # An address is at most 107 bytes long, a folder's path is not: hence the detour by its descriptor.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    server.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)
    server.listen()
    return server
