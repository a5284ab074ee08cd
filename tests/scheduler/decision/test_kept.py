"""What is kept between decisions: never a wrong answer from it, and never more than its bound."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

import pytest

from partita_scheduler.allocator.numbers import Numbers


@pytest.mark.parametrize("step", range(40))
def test_two_threads_never_get_one_number_for_two_values(step: int) -> None:
    """The second thread runs from start to end between two instructions of the first, whichever they are."""
    numbers, seen = Numbers(), []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code is not Numbers.of.__code__:
            return None
        frame.f_trace_opcodes = True
        seen.append(event)
        if len(seen) == step + 2:
            other = threading.Thread(target=lambda: found.append(numbers.of("other")))
            other.start()
            other.join()
        return trace

    found: list[int] = []
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found.append(numbers.of("one"))
    finally:
        sys.settrace(before)
    assert len({*found, numbers.of("other")}) == 2
    assert numbers.of("one") != numbers.of("other")
