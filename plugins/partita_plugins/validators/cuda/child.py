"""The child: python -m partita_plugins.validators.cuda.child MODULE:OPENER

It imports the opener, waits for a request, and only then makes CUDA see the devices of that request. It is told no
more than that, and ends when its parent does.
"""

from __future__ import annotations

import importlib
import os
import resource
import select
import sys
import time
from collections.abc import Callable

import msgspec

from partita_plugins.errors import NvmlCode
from partita_plugins.validators.cuda.messages import (
    LINE_BYTES_MAX,
    Answer,
    Ready,
    Refusal,
    Request,
    Started,
    Told,
)
from partita_plugins.validators.cuda.own_devices import Node, own_devices
from partita_plugins.validators.cuda.plan import SHARED, Plan
from partita_plugins.validators.cuda.port import DeviceFailed, Opener, OutOfRoom, Unavailable

STDIN, STDOUT, STDERR = 0, 1, 2


def main() -> None:
    """One request, one answer."""
    say = _voice()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    opener, missing = _opener(sys.argv[1])
    say(Ready())
    parent = _Parent()
    line = parent.request()
    if not line:
        return
    request = msgspec.json.decode(line, type=Request)
    said: Told
    if opener is None:
        say(Refusal(code=NvmlCode.LIBRARY_NOT_FOUND, message=missing))
        return
    _make_nodes(request.nodes)
    try:
        said = answered(request, opener, lambda: say(Started()), parent.gives_up)
    except Exception as error:  # noqa: BLE001 - a mistake of ours is no fault of the device
        said = Refusal(code=NvmlCode.UNKNOWN, message=f"the validation itself failed: {type(error).__name__}: {error}")
    say(said)


def answered(
    request: Request, opener: Opener, started: Callable[[], None], gives_up: Callable[[], bool]
) -> Answer | Refusal:
    """What there is to say to a request; `started` is called when the devices are open."""
    began = time.monotonic()
    try:
        devices = opener(request.visible)
        started()
        return Plan(request, devices, began=began, clock=time.monotonic, given_up=gives_up).run()
    except Unavailable as error:
        refusal = Refusal(code=error.code, message=str(error), advice=error.advice)
    except OutOfRoom as error:
        refusal = Refusal(
            code=NvmlCode.INSUFFICIENT_RESOURCES,
            message=f"there is no room to compute in: {error}",
            advice="somebody else has the GPU's memory: see nvidia-smi",
        )
    except DeviceFailed as error:
        return Answer(findings=(f"{error}, when it was opened",))
    # Beside others there may be no room for as much as a context.
    no_room = request.shared and refusal.code is NvmlCode.INSUFFICIENT_RESOURCES
    return Answer(skipped=SHARED) if no_room else refusal


def _voice() -> Callable[[Told], None]:
    """Writes to the parent. Whatever else prints something is heard as last words."""
    parent = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)

    def say(message: Told) -> None:
        os.write(parent, msgspec.json.encode(message) + b"\n")

    return say


class _Parent:
    """What the parent says: a request, then nothing, unless the child is to give up."""

    def __init__(self) -> None:
        self._heard = b""

    def request(self) -> bytes:
        """One line; nothing where the parent is gone."""
        while b"\n" not in self._heard and len(self._heard) < LINE_BYTES_MAX:
            more = os.read(STDIN, LINE_BYTES_MAX)
            if not more:
                return b""
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def gives_up(self) -> bool:
        return bool(self._heard) or bool(select.select([STDIN], [], [], 0)[0])


def _opener(name: str) -> tuple[Opener | None, str]:
    """The opener, or why there is none."""
    module, _, attribute = name.partition(":")
    try:
        found: Opener = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        return None, str(error)
    return found, ""


def _make_nodes(nodes: tuple[Node, ...]) -> None:
    """What cannot be done is heard as last words."""
    if problems := own_devices(nodes):
        sys.stderr.write(f"{problems}\n")


if __name__ == "__main__":
    main()
    # The device is given back now: what Python would tidy up first takes longer than a kernel.
    os._exit(0)
