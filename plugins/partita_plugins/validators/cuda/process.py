"""A child process as the parent needs it: lines with deadlines, and no wait without one."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Protocol

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
    """A process of its own session, with pipes for what it is told, what it says, and whatever else it prints."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        self._stdin, self._stdout, self._stderr = (
            _descriptor(pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._said = self._printed = b""

    def send(self, line: bytes) -> None:
        try:
            os.write(self._stdin, line)
        except BrokenPipeError as error:
            raise Ended from error

    def line(self, timeout_seconds: float) -> bytes | None:
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._said:
            if not self._readable(self._stdout, deadline):
                return None
            more = os.read(self._stdout, LINE_BYTES_MAX)
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
        if self._process.returncode is None and self._readable(self._pidfd, time.monotonic() + timeout_seconds):
            self._process.wait()
            while _waits(self._stderr):
                if not self._hear():
                    break
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                if pipe:
                    pipe.close()
            os.close(self._pidfd)
        return self._process.returncode is not None

    def exit_code(self) -> int | None:
        return self._process.returncode

    def last_words(self) -> str:
        lines = self._printed.decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def _readable(self, descriptor: int, deadline: float) -> bool:
        """Whether it is, by then. What the child prints meanwhile is heard, so that it never waits for us."""
        with selectors.DefaultSelector() as selector:
            for one in (descriptor, self._stderr):
                selector.register(one, selectors.EVENT_READ)
            while True:
                found = {key.fd for key, _ in selector.select(max(0.0, deadline - time.monotonic()))}
                if self._stderr in found and not self._hear():
                    selector.unregister(self._stderr)
                if descriptor in found or time.monotonic() >= deadline:
                    return descriptor in found

    def _hear(self) -> bool:
        """Keep the end of what is printed; False where nothing more will be."""
        more = os.read(self._stderr, LINE_BYTES_MAX)
        self._printed = (self._printed + more)[-LAST_WORDS_BYTES:]
        return bool(more)


def _descriptor(pipe: IO[bytes] | None) -> int:
    if pipe is None:
        raise ValueError("a pipe was asked for")
    return pipe.fileno()


def _waits(descriptor: int) -> bool:
    """Whether there is something to read at once, be it the end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
