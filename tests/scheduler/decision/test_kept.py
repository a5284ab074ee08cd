"""What is kept between decisions: never a wrong answer from it, and never more than its bound."""

from __future__ import annotations

import sys
import threading
import tracemalloc
from types import FrameType
from typing import Any

import msgspec
import pytest

from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.objects import Taint
from partita_plugins.wire.resource_slice import AttributeValue, ResourceSlice
from partita_scheduler.allocator import inputs, nodes
from partita_scheduler.allocator.in_use import UseIndex
from partita_scheduler.allocator.inputs import gather_pools
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.allocator.plan import plan_claim
from partita_scheduler.cel import selector as cel
from partita_scheduler.cluster.view import ClusterView, Node
from partita_scheduler.policy.decision import decide
from tests.scheduler.decision import fleet, small
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


def two_drivers(node: str, other_pool: str) -> tuple[ResourceSlice, ...]:
    """Two drivers with one counter each of the same name; kube-scheduler 1.36 mixes them up in pools of one name."""
    found = (
        small.counters("c1", c=1),
        small.slice_of("1", small.device("x", {"c": 1}), count=2),
        small.counters("c2", pool=other_pool, driver="other.example.com", c=1),
        small.slice_of("2", small.device("y", {"c": 1}), pool=other_pool, count=2, driver="other.example.com"),
    )
    return tuple(msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, node_name=node)) for one in found)


def test_nodes_whose_pools_share_a_name_are_not_equal_to_nodes_whose_pools_do_not() -> None:
    machines = {"a": two_drivers("a", "q"), "b": two_drivers("b", "p")}
    both = small.claim(small.request(count=2))
    seen = ClusterView(
        nodes=view(machines).nodes,
        slices=machines,
        classes=small.ANY,
        claims={("default", "c"): both},
        server_minor=36,
    )
    assert decide(seen, pod("c"), ["a", "b"]).order == ("a",)


def test_an_invalid_pool_is_told_alike_on_all_nodes() -> None:
    machines = {
        name: (small.slice_of("1", small.device("x", {"c": 1}), pool=name, nodeName=name),) for name in ("one", "two")
    }
    seen = ClusterView(
        nodes=view(machines).nodes,
        slices=machines,
        classes=small.ANY,
        claims={("default", "c"): small.claim(small.request())},
    )
    found = decide(seen, pod("c"), ["one", "two"])
    assert found.verdicts["one"].reasons == found.verdicts["two"].reasons
    assert "one" not in found.verdicts["two"].reasons[0].text


def test_a_pools_content_is_not_remembered_once_the_pool_is_gone() -> None:
    """Each fault is a new content: its taint has a time."""
    node = Node(metadata=msgspec.structs.replace(small.NODE.metadata, name="a"))

    def shapes(number: int) -> set[int]:
        found = slices("a", "hgx-h100", taints={0: Taint(key="fault", time_added=f"2026-01-01T00:00:{number}Z")})
        return {pool.shape for pool in gather_pools(node, found, lambda _: ())}

    shapes(0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        seen = [shapes(number) for number in range(1, 31)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len({shape for some in seen for shape in some}) == 30
    assert (after - before) / 30 < 10_000


def test_nodes_that_are_gone_are_not_kept() -> None:
    for number in range(20):
        name = f"short-lived-{number}"
        machines = {name: slices(name, "a30-x4")}
        nodes.node_pools(view(machines), view(machines).nodes[name])
    assert sum(name.startswith("short-lived-") for name in nodes._kept) == 1


def test_pools_that_are_gone_are_not_counted() -> None:
    index = UseIndex()
    for number in range(20):
        held = fleet.holding("c", f"node-{number}", "gpu")
        found = index.of({("default", "c"): held})
    assert len(found) == 1
    assert index.of({}) == {}


def test_a_device_remembers_a_bounded_number_of_selectors() -> None:
    (pool,) = gather_pools(small.NODE, [small.slice_of("1", small.device("x"))], lambda _: ())
    for number in range(inputs.MAX_MATCHES + 10):
        asked = small.request(selectors=selected(f"{number} > 0"))
        ((request,),) = plan_claim(small.claim(asked), small.ANY).requests
        assert pool.devices[0].selected_by(request) is (number > 0)
    assert len(pool.devices[0].matches) <= inputs.MAX_MATCHES


def test_a_failing_selector_keeps_no_stack_of_its_failures() -> None:
    (pool,) = gather_pools(small.NODE, [small.slice_of("1", small.device("x"))], lambda _: ())
    broken = cel.selector('device.attributes["d"].missing == "x"')
    depths = []
    for _ in range(3):
        with pytest.raises(cel.CelError) as caught:
            broken.matches(small.DRIVER, pool.devices[0].raw)
        depths.append(len(caught.traceback))
    assert len(set(depths)) == 1


def test_a_kind_of_device_that_is_not_known_yet_is_told_plainly() -> None:
    attributes = {"type": {"string": "later"}}
    found = (small.slice_of("1", small.device("x", attributes=attributes), driver=DRIVER_NAME, nodeName="a"),)
    asked = small.claim(small.request(count=2))
    seen = ClusterView(
        nodes=view({"a": found}).nodes, slices={"a": found}, classes=small.ANY, claims={("default", "c"): asked}
    )
    assert decide(seen, pod("c"), ["a"]).verdicts["a"].reasons[0].text == "needs 2 devices, 1 free"
