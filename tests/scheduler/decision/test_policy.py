"""Which node wins, how that becomes scores, and what is not ours to decide."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, Node
from partita_scheduler.policy import taking
from partita_scheduler.policy.decision import Decision, concerns_us, decide, scores, scores_by_place
from partita_scheduler.policy.row import Verdict
from partita_scheduler.reasons import Reason, summarise
from tests.scheduler.decision.fleet import (
    allocated,
    claim,
    device_class,
    exactly,
    holding,
    picked,
    pod,
    slices,
    view,
)

WHOLE = Offer()


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_the_nvlink_node_gets_the_two_gpu_pod(names: tuple[str, str]) -> None:
    pcie, nvlink = names
    machines = {pcie: slices(pcie, "l40s-x8", WHOLE), nvlink: slices(nvlink, "dgx-a100-40", WHOLE)}
    found = decide(view(machines, claim("c", exactly(count=2))), pod("c"), sorted(machines))
    assert scores(found, sorted(machines)) == {nvlink: 10, pcie: 5}


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_the_pcie_node_gets_the_one_gpu_pod(names: tuple[str, str]) -> None:
    pcie, nvlink = names
    machines = {pcie: slices(pcie, "l40s-x8", WHOLE), nvlink: slices(nvlink, "dgx-a100-40", WHOLE)}
    assert decide(view(machines, claim("c", exactly())), pod("c"), sorted(machines)).order == (pcie, nvlink)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("kind", ["mig-1g", "mig-2g", "shared"])
def test_the_fragmented_node_gets_the_small_pod(names: tuple[str, str], kind: str) -> None:
    fresh, used = names
    machines = {name: slices(name, "hgx-h100") for name in names}
    gpu = "gpu-0000-1b-00-0"
    held = holding("held", used, f"{gpu}-mig-1g-19-6", f"{gpu}-mig-2g-14-4")
    if kind == "shared":
        first = decide(view(machines, claim("held", exactly(kind=kind))), pod("held"), [used]).verdicts[used]
        assert first.allocations is not None
        held = allocated(claim("held", exactly(kind=kind)), first.allocations["held"])
    found = decide(view(machines, held, claim("c", exactly(kind=kind))), pod("c"), sorted(machines))
    assert scores(found, sorted(machines)) == {used: 10, fresh: 5}


def test_a_gpu_of_its_own_goes_where_fewest_are_left() -> None:
    machines = {name: slices(name, "hgx-h100", WHOLE) for name in ("a", "b")}
    held = holding("held", "b", *(f"gpu-0000-{bus}-00-0" for bus in ("1b", "43", "52", "61")))
    assert decide(view(machines, held, claim("c", exactly())), pod("c"), ["a", "b"]).order == ("b", "a")


def test_equal_nodes_keep_a_fixed_order() -> None:
    machines = {name: slices(name, "a30-x4", WHOLE) for name in ("c", "a", "b")}
    assert decide(view(machines, claim("c", exactly())), pod("c"), ["c", "a", "b"]).order == ("a", "b", "c")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 200])
def test_exactly_one_node_gets_ten_and_the_rest_at_most_five(count: int) -> None:
    names = [f"n{i:03d}" for i in range(count)]
    decision = Decision(verdicts={}, order=tuple(names))
    found = scores(decision, [*names, "refused"])
    assert found["n000"] == 10
    assert all(0 <= found[name] <= 5 for name in (*names[1:], "refused"))
    ranked = [found[name] for name in names]
    assert ranked == sorted(ranked, reverse=True)


def test_without_a_fit_all_nodes_are_equal() -> None:
    assert scores(Decision(verdicts={"a": Verdict(node="a")}), ["a", "b"]) == {"a": 0, "b": 0}


def extended(amount: str, **container: Any) -> dict[str, Any]:
    return {"name": "main", "resources": {"limits": {"nvidia.com/gpu": amount, "cpu": "1"}}, **container}


def test_a_plain_extended_resource_gets_the_claim_that_kube_scheduler_makes() -> None:
    machines = {"a": slices("a", "hgx-h100", WHOLE)}
    found = decide(view(machines), pod(containers=[extended("2")]), ["a"]).verdicts["a"]
    assert picked(found) == {EXTENDED_CLAIM_NAME: ["gpu-0000-df-00-0", "gpu-0000-d1-00-0"]}
    assert found.allocations is not None
    assert found.allocations[EXTENDED_CLAIM_NAME].devices.results[0].request == "container-0-request-1"


def test_init_containers_that_end_reuse_devices() -> None:
    machines = {"a": slices("a", "hgx-h100", WHOLE)}
    one = pod(containers=[extended("2")], initContainers=[extended("3"), extended("1", restartPolicy="Always")])
    found = decide(view(machines), one, ["a"]).verdicts["a"].allocations
    assert found is not None
    requests = [result.request for result in found[EXTENDED_CLAIM_NAME].devices.results]
    assert requests == ["container-1-request-1", "container-2-request-1", "container-2-request-1"]


def test_a_node_with_the_resource_itself_keeps_its_device_plugin() -> None:
    machines = {"a": slices("a", "hgx-h100", WHOLE)}
    cluster = view(machines)
    node = msgspec.convert({"metadata": {"name": "a"}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}}, Node)
    found = decide(replace(cluster, nodes={"a": node}), pod(containers=[extended("2")]), ["a"])
    assert found.verdicts["a"].allocations == {}


def test_a_pod_with_a_claim_fits_no_node_that_serves_its_extended_resources_itself() -> None:
    """kube-scheduler would fail on the empty claim that it makes for them."""
    cluster = view({"a": slices("a", "hgx-h100")}, claim("c", exactly()))
    node = msgspec.convert({"metadata": {"name": "a"}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}}, Node)
    served = replace(cluster, nodes={"a": node})
    (reason,) = decide(served, pod("c", containers=[extended("2")]), ["a"]).verdicts["a"].reasons
    assert reason.code == "unbindable"
    assert decide(served, pod("c"), ["a"]).order == ("a",)
    assert decide(cluster, pod("c", containers=[extended("2")]), ["a"]).order == ("a",)


def test_the_newest_class_serves_an_extended_resource() -> None:
    old = device_class("old", "false", extendedResourceName="example.com/x")
    new = device_class("new", "true", extendedResourceName="example.com/x")
    dated = msgspec.structs.replace(
        new, metadata=msgspec.structs.replace(new.metadata, creation_timestamp="2026-02-01T00:00:00Z")
    )
    cluster = replace(view({"a": slices("a", "a30-x4", WHOLE)}), classes={"old": old, "new": dated})
    for resource in ("example.com/x", "deviceclass.resource.kubernetes.io/new"):
        asks = pod(containers=[{"name": "m", "resources": {"limits": {resource: "1"}}}])
        assert concerns_us(cluster, asks)
        assert decide(cluster, asks, ["a"]).order == ("a",)


def test_whom_we_concern() -> None:
    c = claim("c", exactly())
    cluster = view({"a": slices("a", "a30-x4", WHOLE)}, c)
    assert concerns_us(cluster, pod("c"))
    assert concerns_us(cluster, pod("missing"))
    assert not concerns_us(cluster, pod(containers=[{"name": "m", "resources": {"limits": {"cpu": "1"}}}]))
    there = decide(cluster, pod("c"), ["a"]).verdicts["a"].allocations
    assert there is not None
    assert not concerns_us(view({}, allocated(c, there["c"])), pod("c"))


def wish(key: str, value: str) -> Any:
    one = claim("c", exactly(count=2))
    metadata = msgspec.structs.replace(one.metadata, annotations={f"{DRIVER_NAME}/{key}": value})
    return msgspec.structs.replace(one, metadata=metadata)


def test_a_strict_nvlink_wish_refuses_other_nodes() -> None:
    machines = {"a": slices("a", "l40s-x8", WHOLE), "b": slices("b", "hgx-h100", WHOLE)}
    found = decide(view(machines, wish("topology", "nvlink")), pod("c"), ["a", "b"])
    assert found.hard_refusals == {"a": "GPUs 6 and 7 are not all joined by NVLink"}
    assert found.order == ("b",)


def test_an_unknown_wish_is_noted_and_refuses_nobody() -> None:
    machines = {"a": slices("a", "l40s-x8", WHOLE)}
    found = decide(view(machines, wish("colour", "green")), pod("c"), ["a"])
    assert (found.order, found.hard_refusals) == (("a",), {})
    assert found.notes == (f"annotation {DRIVER_NAME}/colour is unknown",)


def test_a_summary_counts_nodes_with_equal_reasons() -> None:
    none, fault = Reason("taken", "no 3g free"), Reason("tainted", "GPU 4 quarantined (fault: stuck-bit)")
    found = summarise({"a": (none,), "b": (none,), "c": (fault,), "d": (none,), "e": (fault,)})
    assert found == "3 nodes: no 3g free; 2 nodes: GPU 4 quarantined (fault: stuck-bit)"


def test_a_summary_fits_an_event() -> None:
    found = summarise({f"n{i}": (Reason("x", f"{i} " + "long " * 30),) for i in range(100)})
    assert len(found) <= 1024
    assert found.endswith("more nodes for other reasons")


def test_a_new_pod_on_500_known_nodes_is_decided_at_once() -> None:
    offer = Offer(mig_shapes=frozenset({"3g"}))
    machines = {f"n{i}": slices(f"n{i}", "hgx-h100", offer) for i in range(500)}
    cluster = view(machines, claim("c", exactly(kind="mig-3g")), claim("d", exactly(kind="mig-3g")))
    assert len(decide(cluster, pod("c"), list(machines)).order) == 500
    fastest = min(_seconds(cluster, list(machines)) for _ in range(5))
    assert fastest < 0.25, "CPU seconds; about 0.01 on an idle machine"


def _seconds(cluster: Any, names: list[str]) -> float:
    start = time.thread_time()
    decide(cluster, pod("d", uid="pod-2"), names)
    return time.thread_time() - start


def test_equal_machines_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    real = taking._picked

    def counted(*args: Any) -> Any:
        runs.append("run")
        return real(*args)

    monkeypatch.setattr(taking, "_picked", counted)
    machines = {f"m{i}": slices(f"m{i}", "hgx-h200") for i in range(20)}
    cluster = view(machines, *(claim(name, exactly(kind="mig-2g", count=3)) for name in ("one", "other")))
    assert len(decide(cluster, pod("one"), list(machines)).order) == 20
    assert len(decide(cluster, pod("other"), list(machines)).order) == 20
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("count", "scores"),
    [(0, []), (1, [10]), (2, [10, 5]), (7, [10, 5, 4, 3, 2, 1, 0]), (9, [10, 5, 5, 4, 3, 2, 2, 1, 0])],
)
def test_the_first_has_ten_and_the_rest_fall_evenly_from_five(count: int, scores: list[int]) -> None:
    assert scores_by_place(count).tolist() == scores
