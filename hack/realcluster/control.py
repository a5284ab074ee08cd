"""Asks the supervisor to start, stop or list components."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from typing import Any

from hack.realcluster.component import Component
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout

# Longer than the supervisor waits before it kills a component that does not end.
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """One component as the supervisor sees it; the pid is that of the cluster's PID namespace."""

    name: str
    pid: int
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Control:
    """The supervisor of one cluster."""

    layout: Layout

    def start(self, component: Component) -> None:
        """Start a component that has not been started before."""
        holder = f"namespace-{component.node}" if component.node else None
        self._ask("start", name=component.name, command=component.command, holder=holder)

    def start_again(self, name: str) -> None:
        """Start a component that was stopped or has ended, with the command it had."""
        self._ask("start-again", name=name)

    def stop(self, name: str) -> None:
        """Stop a component and leave everything it started."""
        self._ask("stop", name=name)

    def components(self) -> tuple[Running, ...]:
        """Return every component that was ever started, ended or not."""
        listed = self._ask("list")
        return tuple(Running(name, entry["pid"], entry["exit_code"]) for name, entry in listed.items())

    def pid(self, name: str) -> int:
        """Return the pid of a component inside the cluster's PID namespace."""
        for running in self.components():
            if running.name == name and running.exit_code is None:
                return running.pid
        msg = f"{name} does not run: hack/cluster status says what does."
        raise ClusterError(msg)

    def _ask(self, operation: str, **arguments: object) -> dict[str, Any]:
        request = json.dumps({"operation": operation, **arguments}).encode() + b"\n"
        try:
            answer = self._exchange(request)
        except (OSError, ValueError) as error:
            msg = "No cluster answers here: hack/cluster up starts one, hack/cluster down cleans up."
            raise ClusterError(msg) from error
        if "error" in answer:
            raise ClusterError(str(answer["error"]))
        return answer

    def _exchange(self, request: bytes) -> dict[str, Any]:
        path = self.layout.control_socket
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(_TIMEOUT_SECONDS)
                client.connect(f"/proc/self/fd/{folder}/{path.name}")
                with client.makefile("rwb") as stream:
                    stream.write(request)
                    stream.flush()
                    return dict(json.loads(stream.readline()))
        finally:
            os.close(folder)
