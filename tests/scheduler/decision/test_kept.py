"""What is kept between decisions: never a wrong answer from it, and never more than its bound."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

import msgspec
import pytest

from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource import AttributeValue, ResourceSlice
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.policy import decide
from tests.scheduler.decision.fleet import claim, exactly, pod, selected, slices, view


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


def renamed_gpus(found: tuple[ResourceSlice, ...], uuid: str) -> tuple[ResourceSlice, ...]:
    """The same machine with other boards of the same kind."""
    return tuple(
        msgspec.structs.replace(
            one,
            spec=msgspec.structs.replace(
                one.spec,
                devices=[
                    msgspec.structs.replace(
                        device, attributes={**device.attributes, "uuid": AttributeValue(string=f"{uuid}-{device.name}")}
                    )
                    for device in one.spec.devices
                ],
            ),
        )
        for one in found
    )


def test_a_gpu_named_by_its_uuid_is_not_found_any_more_once_it_was_exchanged() -> None:
    machine = slices("a", "a30-x4")
    name = machine[1].spec.devices[0].name
    asked = claim("c", exactly(selectors=selected(f'device.attributes["{DRIVER_NAME}"].uuid == "old-{name}"')))
    for uuid, fits in (("old", True), ("new", False), ("old", True)):
        found = decide(view({"a": renamed_gpus(machine, uuid)}, asked), pod("c"), ["a"])
        assert bool(found.order) is fits, uuid
