"""One request to a child, from when it is sent until the child is gone: nothing here waits without a deadline."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from partita_plugins.contracts import Look
from partita_plugins.validators.cuda.messages import Answer, Refusal, Request, Started, Told
from partita_plugins.validators.cuda.process import Ended, Process

POLL_SECONDS = 0.005
"""How often it is asked whether the look is given up."""

GIVE_UP_SECONDS = 1.0
"""What a child that was told to give up has for its answer."""

EXIT_SECONDS = 5.0
"""What a child that has answered has to give the device back: freeing memory takes the driver a while."""

KILL_SECONDS = 2.0
"""What the kernel has at least to end a killed process. One that is still there waits in the driver for its GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How a child's look ended."""

    answer: Answer | Refusal | None
    """None: there is none."""

    started: bool
    """It had the device open."""

    gave_up: bool
    """It was told to."""

    late: bool
    """It was killed, for it did not answer in time."""

    gone: bool
    """False: nothing ends it."""

    garbage: str = ""
    """What it said instead of an answer."""

    exit_code: int | None = None
    last_words: str = ""


def heard(process: Process, request: Request, look: Look, deadline: float, clock: Callable[[], float]) -> Heard:
    """Ask a child, and see it off. `deadline` is a time of `clock`; what comes after it is bounded by the constants."""
    exchange = _Exchange(process, look, deadline, clock)
    exchange.run(msgspec.json.encode(request) + b"\n")
    if exchange.answer is None or not process.gone(EXIT_SECONDS):
        process.kill()
    # Opening a GPU takes seconds in which SIGKILL waits, too: one that gives up then has all of its time to end.
    gone = process.gone(max(KILL_SECONDS, deadline - clock()))
    return Heard(
        answer=exchange.answer,
        started=exchange.started,
        gave_up=exchange.gave_up,
        late=exchange.late,
        gone=gone,
        garbage=exchange.garbage,
        exit_code=process.exit_code(),
        last_words=process.last_words(),
    )


class _Exchange:
    """What was said until now."""

    def __init__(self, process: Process, look: Look, deadline: float, clock: Callable[[], float]) -> None:
        self._process, self._look, self._deadline, self._clock = process, look, deadline, clock
        self.answer: Answer | Refusal | None = None
        self.started = self.gave_up = self.late = False
        self.garbage = ""

    def run(self, request: bytes) -> None:
        """Until there is an answer, or there will be none."""
        try:
            self._process.send(request)
            while self.answer is None and not self.garbage and not self._over():
                line = self._process.line(POLL_SECONDS)
                if line is not None:
                    self._take(line)
        except Ended:
            # It ends by itself: a moment later its exit code is known.
            self._process.gone(KILL_SECONDS)

    def _over(self) -> bool:
        if not self.gave_up and self._look.given_up():
            self.gave_up = True
            self._deadline = min(self._deadline, self._clock() + GIVE_UP_SECONDS)
            with suppress(Ended):  # it may have answered, and ended, in this moment: that is read next
                self._process.send(b"\n")
        self.late = self._clock() >= self._deadline
        return self.late

    def _take(self, line: bytes) -> None:
        try:
            told = msgspec.json.decode(line, type=Told)
        except msgspec.DecodeError:
            self.garbage = line[:80].decode("utf-8", "backslashreplace") or "nothing"
            return
        if isinstance(told, (Answer, Refusal)):
            self.answer = told
        self.started = self.started or isinstance(told, Started)
