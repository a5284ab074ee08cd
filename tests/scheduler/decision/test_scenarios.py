"""What users ask for, on machines as the driver publishes them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME, FAULT_TAINT_KEY, pool_name
from partita_plugins.wire.objects import Taint
from partita_scheduler.cluster.view import AssumedAllocation
from partita_scheduler.policy.decision import decide
from tests.scheduler.decision.fleet import (
    allocated,
    claim,
    exactly,
    holding,
    picked,
    pod,
    selected,
    slices,
    view,
    with_claims,
)

WHOLE = Offer()
ISLAND = {"requests": [], "matchAttribute": f"{DRIVER_NAME}/nvlinkIsland"}
H100 = {"a": slices("a", "hgx-h100")}
GPU0 = "gpu-0000-1b-00-0"


def test_a_whole_gpu_is_taken_from_the_last_slot() -> None:
    found = decide(view(H100, claim("c", exactly())), pod("c"), ["a"]).verdicts["a"]
    assert picked(found) == {"c": ["gpu-0000-df-00-0"]}
    assert found.explanation == "takes GPU 7; leaves 7 GPUs untouched"
    assert found.allocations is not None
    result = found.allocations["c"].devices.results[0]
    assert (result.request, result.driver, result.pool) == ("gpu", DRIVER_NAME, pool_name("a"))
    assert found.allocations["c"].node_selector == {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]
    }


def test_1g_and_3g_share_a_gpu_without_overlap() -> None:
    """The 1g is there; the other GPUs are full; the 3g goes to the upper half, and the GPU itself is gone."""
    full = [f"gpu-0000-{bus}-00-0" for bus in ("43", "52", "61", "9d", "c3", "d1", "df")]
    found = view(
        H100,
        holding("others", "a", *full, f"{GPU0}-mig-1g-19-0"),
        claim("m", exactly(kind="mig-3g")),
        claim("w", exactly()),
    )
    assert picked(decide(found, pod("m"), ["a"]).verdicts["a"]) == {"m": [f"{GPU0}-mig-3g-9-4"]}
    assert [reason.text for reason in decide(found, pod("w"), ["a"]).verdicts["a"].reasons] == ["no GPU free"]


def test_two_claims_of_a_pod_are_allocated_together() -> None:
    found = view(H100, claim("one", exactly(kind="mig-4g")), claim("two", exactly(kind="mig-4g")))
    assert picked(decide(found, pod("one", "two"), ["a"]).verdicts["a"]) == {
        "one": [f"{GPU0}-mig-4g-5-0"],
        "two": ["gpu-0000-43-00-0-mig-4g-5-0"],
    }


def test_a_third_share_that_does_not_fit_is_refused_in_plain_words() -> None:
    wanted = [claim(f"s{i}", exactly(kind="shared", capacity={"requests": {"memory": "36Gi"}})) for i in range(3)]
    small = {"a": slices("a", "a30-x4", Offer(whole=False, shared=True))}
    cluster = view(small, *wanted)
    for one in (*wanted, *wanted):
        verdict = decide(cluster, pod(one.metadata.name), ["a"]).verdicts["a"]
        assert [reason.text for reason in verdict.reasons] == ["memory: largest share left is 24Gi, asked 36Gi"]
    tens = [claim(f"t{i}", exactly(kind="shared", capacity={"requests": {"memory": "14Gi"}})) for i in range(5)]
    cluster = view(small, *tens)
    for one in tens[:4]:
        verdict = decide(cluster, pod(one.metadata.name), ["a"]).verdicts["a"]
        assert verdict.allocations is not None
        cluster = with_claims(cluster, allocated(one, verdict.allocations[one.metadata.name]))
    verdict = decide(cluster, pod("t4"), ["a"]).verdicts["a"]
    assert [reason.text for reason in verdict.reasons] == ["memory: largest share left is 10Gi, asked 14Gi"]


def test_shares_of_one_gpu_add_up() -> None:
    ten = exactly(kind="shared", capacity={"requests": {"memory": "10Gi"}})
    cluster = view(H100, claim("one", ten), claim("two", ten))
    first = decide(cluster, pod("one"), ["a"]).verdicts["a"]
    assert first.allocations is not None
    assert first.allocations["one"].devices.results[0].consumed_capacity == {"memory": "10Gi", "shares": "1"}
    cluster = with_claims(cluster, allocated(claim("one", ten), first.allocations["one"]))
    second = decide(cluster, pod("two"), ["a"]).verdicts["a"]
    assert picked(second) == {"two": [f"{GPU0}-shared"]}
    assert second.explanation == "takes 10Gi of GPU 0; leaves 60928Mi of GPU 0 to share"


def test_the_best_alternative_decides_the_node() -> None:
    any_of = {
        "name": "any",
        "firstAvailable": [
            {"name": "big", "deviceClassName": f"mig-7g.{DRIVER_NAME}"},
            {"name": "small", "deviceClassName": DRIVER_NAME},
        ],
    }
    machines = {"a": slices("a", "l40s-x8", WHOLE), "b": slices("b", "hgx-h100")}
    found = decide(view(machines, claim("c", any_of)), pod("c"), ["a", "b"])
    assert found.order == ("b", "a")
    assert found.verdicts["b"].allocations is not None
    assert found.verdicts["b"].allocations["c"].devices.results[0].request == "any/big"


def test_two_gpus_of_one_island() -> None:
    pair = claim("c", exactly(count=2), constraints=[ISLAND])
    machines = {"a": slices("a", "a100-pcie-x8", WHOLE), "b": slices("b", "l40s-x8", WHOLE)}
    found = decide(view(machines, pair), pod("c"), ["a", "b"])
    assert [reason.text for reason in found.verdicts["b"].reasons] == [
        "needs 2 GPUs of one NVLink island, at most 0 free"
    ]
    assert "over NVLink" in found.verdicts["a"].explanation


def test_of_bridged_pairs_with_one_gpu_each_left_none_is_an_island() -> None:
    cluster = view({"a": slices("a", "a100-pcie-x8", WHOLE)}, claim("c", exactly(count=2), constraints=[ISLAND]))
    order = [f"gpu-0000-{bus}-00-0" for bus in ("1a", "3d", "5e", "88", "9b", "b1", "ca", "e2")]
    pairs = decide(cluster, pod("c"), ["a"]).verdicts["a"]
    taken = picked(pairs)["c"][0]
    assert taken in order
    islands: dict[str, str] = {}
    for one in cluster.slices["a"]:
        for device in one.spec.devices:
            islands.setdefault(device.attributes["nvlinkIsland"].string or "", device.name)
    held = with_claims(cluster, holding("held", "a", *islands.values()))
    verdict = decide(held, pod("c"), ["a"]).verdicts["a"]
    assert [reason.text for reason in verdict.reasons] == ["needs 2 GPUs of one NVLink island, at most 1 free"]


def test_no_match_names_the_class() -> None:
    machines = {"a": slices("a", "l40s-x8", WHOLE)}
    verdict = decide(view(machines, claim("c", exactly(kind="mig-3g"))), pod("c"), ["a"]).verdicts["a"]
    assert [reason.text for reason in verdict.reasons] == [
        f"class mig-3g.{DRIVER_NAME} selects none of the node's devices"
    ]
    picky = claim("c", exactly(selectors=selected(f'device.attributes["{DRIVER_NAME}"].product == "H900"')))
    verdict = decide(view(machines, picky), pod("c"), ["a"]).verdicts["a"]
    assert [reason.text for reason in verdict.reasons] == [
        f"no device of class {DRIVER_NAME} matches the request's selector"
    ]


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_quarantined_gpu_is_passed_over_and_named(effect: str) -> None:
    fault = Taint(key=FAULT_TAINT_KEY, value="stuck-bit", effect=effect)
    some = {"a": slices("a", "a30-x4", WHOLE, {3: fault})}
    found = view(some, claim("c", exactly()), claim("all", exactly(count=4)))
    assert picked(decide(found, pod("c"), ["a"]).verdicts["a"]) == {"c": ["gpu-0000-ca-00-0"]}
    texts = [reason.text for reason in decide(found, pod("all"), ["a"]).verdicts["a"].reasons]
    assert texts == ["needs 4 GPUs, 3 free", "GPU 3 quarantined (fault: stuck-bit)"]


def test_a_missing_attribute_aborts_with_the_device_and_the_class() -> None:
    bad = claim("c", exactly(selectors=selected(f'device.attributes["{DRIVER_NAME}"].nope == "x"')))
    (reason,) = decide(view(H100, bad), pod("c"), ["a"]).verdicts["a"].reasons
    assert reason.code == "abort"
    assert "gpu-0000-df-00-0: CEL runtime error: no such key: nope" in reason.text


def test_a_claim_that_is_being_deleted_is_not_given_anything() -> None:
    asked = claim("c", exactly())
    leaving = msgspec.structs.replace(asked.metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    gone = msgspec.structs.replace(asked, metadata=leaving)
    reasons = decide(view(H100, gone), pod("c"), ["a"]).verdicts["a"].reasons
    assert [reason.text for reason in reasons] == ["claim c is being deleted"]


def test_a_selector_that_the_search_never_comes_to_aborts_nothing() -> None:
    first = exactly("first", count=9)
    bad = exactly("bad", selectors=selected(f'device.attributes["{DRIVER_NAME}"].nope == "x"'))
    reasons = decide(view(H100, claim("c", first, bad)), pod("c"), ["a"]).verdicts["a"].reasons
    assert [reason.code for reason in reasons] == ["taken", "selector"]


def test_a_claim_that_is_allocated_stays_on_its_node() -> None:
    machines = {"a": slices("a", "hgx-h100"), "b": slices("b", "hgx-h100")}
    cluster = view(machines, claim("c", exactly()))
    there = decide(cluster, pod("c"), ["b"]).verdicts["b"].allocations
    assert there is not None
    cluster = with_claims(cluster, allocated(claim("c", exactly()), there["c"]))
    found = decide(cluster, pod("c", uid="pod-2"), ["a", "b"])
    assert found.order == ("b",)
    assert [reason.text for reason in found.verdicts["a"].reasons] == ["claim c is allocated on another node"]


def test_what_is_assumed_counts_for_others_and_not_for_the_pod_itself() -> None:
    cluster = view(H100, claim("c", exactly()), claim("d", exactly()))
    first = decide(cluster, pod("c"), ["a"]).verdicts["a"].allocations
    assert first is not None
    assumed = AssumedAllocation(pod_uid="pod-1", node="a", claim=("default", "c"), allocation=first["c"])
    cluster = replace(cluster, assumed={"uid-c": assumed})
    assert picked(decide(cluster, pod("c"), ["a"]).verdicts["a"]) == {"c": ["gpu-0000-df-00-0"]}
    assert picked(decide(cluster, pod("d", uid="pod-2"), ["a"]).verdicts["a"]) == {"d": ["gpu-0000-d1-00-0"]}
    seen = with_claims(cluster, allocated(claim("c", exactly()), first["c"]))
    assert picked(decide(seen, pod("d", uid="pod-2"), ["a"]).verdicts["a"]) == {"d": ["gpu-0000-d1-00-0"]}


def test_a_claim_that_is_not_there_yet() -> None:
    verdict = decide(view(H100), pod("c"), ["a"]).verdicts["a"]
    assert [reason.text for reason in verdict.reasons] == ["claim 'c' does not exist yet"]


def test_a_class_that_is_not_there() -> None:
    verdict = decide(view(H100, claim("c", exactly(kind="nope"))), pod("c"), ["a"]).verdicts["a"]
    assert "there is no DeviceClass" in verdict.reasons[0].text


def test_an_unknown_node_is_undecided() -> None:
    assert decide(view(H100, claim("c", exactly())), pod("c"), ["new"]).verdicts["new"].undecided
