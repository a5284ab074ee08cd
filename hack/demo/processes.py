"""The real processes: started, listened to, killed, ended. Each writes its log to a file of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hack.demo.errors import DemoError

STOP_SECONDS = 5.0
TAIL_BYTES = 64 * 1024
NOT_INHERITED = ("PARTITA_", "KUBECONFIG", "NODE_NAME", "POD_")
"""Settings of the person's shell that would reach the processes as their options."""

OWN_SETTINGS = {"PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
"""All that they speak to is on this machine, whatever the shell's proxy."""


class Process:
    """One process of ours. Started in a session of its own: Ctrl-C is for the demo, which ends the rest in order."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self.log = name, log
        self._command = tuple(command)
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)}
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, **OWN_SETTINGS},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid if self._popen else 0

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def ended(self) -> bool:
        """Whether it was started and runs no more."""
        return self._popen is not None and not self.running

    def check(self) -> None:
        """Raise DemoError if it has ended by itself."""
        if self._popen is not None and (code := self._popen.poll()) is not None:
            raise DemoError(f"{self.name} ended with exit code {code}", process=self.name)

    def lines(self) -> list[str]:
        """The log's last lines, oldest first."""
        try:
            with self.log.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - TAIL_BYTES))
                return log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def kill(self) -> None:
        """SIGKILL: what a crash looks like."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()

    def ask_to_stop(self) -> None:
        if self.running and self._popen is not None:
            self._popen.terminate()

    def wait_stopped(self) -> str:
        """Until it is gone; killed if it takes too long. What was wrong with its end, if anything."""
        if self._popen is None:
            return ""
        try:
            code = self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"{self.name} did not end within {STOP_SECONDS:g} s"
        return f"{self.name} ended with exit code {code}" if code else ""
