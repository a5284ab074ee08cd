"""Runs programs, and the one error that a user of `hack/image` is meant to read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

KEPT_LINES = 25
COMMAND_SECONDS = 1800.0
"""A build step that takes longer hangs on something."""


class ImageError(Exception):
    """What went wrong and what to do next."""


def run(
    *command: str | Path,
    advice: str,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    folder: Path | None = None,
) -> str:
    """Standard output of a program. Raises ImageError with the end of what it said, and the advice."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{command[0]} did not end within {COMMAND_SECONDS:.0f} s; {advice}") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-KEPT_LINES:])
        raise ImageError(f"{' '.join(map(str, command[:3]))} ... failed:\n{said}\n{advice}")
    return done.stdout


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    started = time.monotonic()
    print(f"{what} ...", file=sys.stderr, flush=True)
    yield
    print(f"{what}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
