"""A child process as the parent needs it: lines with deadlines, and no wait without one."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from partita_plugins.validators.cuda.messages import LINE_BYTES_MAX

LAST_WORDS_BYTES = 400


class Ended(Exception):
    """The other side is gone."""


class Process(Protocol):
    """A child that may hang, die, or not die."""

    def send(self, line: bytes) -> None:
        """Write to it. Raises Ended."""

    def line(self, timeout_seconds: float) -> bytes | None:
        """The next line it says; None after so many seconds. Raises Ended."""

    def kill(self) -> None:
        """SIGKILL."""

    def gone(self, timeout_seconds: float) -> bool:
        """Whether it has ended, and is reaped, after so many seconds at most."""

    def exit_code(self) -> int | None:
        """None while it is there; below 0: the signal that ended it."""

    def last_words(self) -> str:
        """The end of what it printed, on one line."""


class ChildProcess:
    """A process of its own session, with pipes, and a file for whatever it prints."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._said = b""
        self._last = ""

    def send(self, line: bytes) -> None:
        try:
            os.write(_fd(self._process.stdin), line)
        except BrokenPipeError as error:
            raise Ended from error

    def line(self, timeout_seconds: float) -> bytes | None:
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._said:
            if not _readable(_fd(self._process.stdout), deadline - time.monotonic()):
                return None
            more = os.read(_fd(self._process.stdout), LINE_BYTES_MAX)
            if not more:
                raise Ended
            self._said += more
            if len(self._said) > LINE_BYTES_MAX:
                return self._said
        line, _, self._said = self._said.partition(b"\n")
        return line

    def kill(self) -> None:
        if self._process.returncode is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def gone(self, timeout_seconds: float) -> bool:
        if self._process.returncode is None and _readable(self._pidfd, timeout_seconds):
            self._process.wait()
            self._last = self._read_words()
            for pipe in (self._process.stdin, self._process.stdout, self._words):
                if pipe:
                    pipe.close()
            os.close(self._pidfd)
        return self._process.returncode is not None

    def exit_code(self) -> int | None:
        return self._process.returncode

    def last_words(self) -> str:
        return self._last if self._words.closed else self._read_words()

    def _read_words(self) -> str:
        end = self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, end - LAST_WORDS_BYTES))
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        self._words.seek(0, os.SEEK_END)
        return lines[-1].strip() if lines else ""


def _fd(pipe: object) -> int:
    fileno: int = pipe.fileno()  # type: ignore[attr-defined]
    return fileno


def _readable(descriptor: int, timeout_seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(max(0.0, timeout_seconds)))
