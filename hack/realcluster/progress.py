"""Shows how far a build is, on a terminal in one line and elsewhere now and then."""

from __future__ import annotations

import sys
import time

_TERMINAL_INTERVAL = 0.2
_LOG_INTERVAL = 20.0


class BuildProgress:
    """The progress of one `go build -v`, which prints the name of each package it has compiled."""

    def __init__(self, name: str, packages: int | None) -> None:
        """Begin to count; `packages` is how many there are, compiled earlier or not."""
        self._name = name
        self._packages = packages
        self._compiled = 0
        self._started = time.monotonic()
        self._shown = 0.0
        self._terminal = sys.stderr.isatty()
        _say(f"Building {name}; the result is kept, so this happens once.\n")

    def saw(self, line: str) -> bool:
        """Take one line of the build's output; say whether it was progress rather than a message."""
        if not line or " " in line or line.startswith("#"):
            if line.startswith("go: downloading "):
                self._show(line.removeprefix("go: "))
                return True
            return False
        self._compiled += 1
        self._show(line)
        return True

    def finished(self) -> None:
        """Say how long it took."""
        end = "\r\033[K" if self._terminal else ""
        _say(f"{end}Built {self._name}: {self._compiled} packages in {self._elapsed()}.\n")

    def _show(self, what: str) -> None:
        now = time.monotonic()
        if now - self._shown < (_TERMINAL_INTERVAL if self._terminal else _LOG_INTERVAL):
            return
        self._shown = now
        total = f" of at most {self._packages}" if self._packages else ""
        line = f"{self._name}  {self._elapsed()}  {self._compiled}{total} packages  {what}"
        _say(f"\r\033[K{line[:108]}" if self._terminal else f"  {line}\n")

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"{minutes}m{seconds:02d}s"


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
