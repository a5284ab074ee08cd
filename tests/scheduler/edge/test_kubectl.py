"""The plugin: the fleet's map from slices and claims, and the answer to "why"."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.backends.catalog import machine
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.events import EventRecorder
from partita_plugins.model.offer import DeviceKind, Offer, OfferedDevice, SlottedHardware, offered_devices, shape_of
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.wire import DRIVER_NAME, WITHDRAWN_TAINT_KEY, pool_name
from partita_plugins.wire.device_names import format_name
from partita_plugins.wire.objects import ObjectMeta, Taint
from partita_plugins.wire.offer import encode_counter_sets, encode_device
from partita_plugins.wire.resource_claim import (
    Allocation,
    AllocationResult,
    ConsumerReference,
    DeviceAllocation,
    ResourceClaim,
    ResourceClaimStatus,
)
from partita_plugins.wire.resource_slice import Pool, ResourceSlice, ResourceSliceSpec
from partita_scheduler.answers.report import NodeReport, PodReport
from partita_scheduler.cluster.taint_rules import RuleTaint
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.kubectl import extender
from partita_scheduler.kubectl.draw import draw_map
from partita_scheduler.kubectl.fleet import fleet
from partita_scheduler.kubectl.main import main
from partita_scheduler.kubectl.validated import validation_words
from partita_scheduler.simulator import EmbeddedScheduler
from tests.scheduler.decision.fleet import holding, slices, view
from tests.scheduler.decision.test_withdrawn import exchanged_machine
from tests.scheduler.edge.cluster import Json, api_server, claim, device_class, node, pod, whole_gpus

HARDWARE = SlottedHardware(hardware=machine("hgx-h100"), slots=tuple(range(8)))
SHAPES = frozenset({"1g", "1g-double", "2g", "3g", "4g", "7g"})
OFFER = Offer(mig_shapes=SHAPES, shared=True, group_sizes=frozenset({2, 4, 8}), monitor=True)
DEVICES = offered_devices(HARDWARE, OFFER)
POOL = Pool(name=pool_name("n1"))


def view_with(taken: Sequence[tuple[OfferedDevice, str]], taints: Sequence[Taint] = ()) -> ClusterView:
    """One machine, and for each taken device a claim of that name with one pod."""
    encoded = [msgspec.structs.replace(encode_device(device, HARDWARE), taints=list(taints)) for device in DEVICES]
    spec = ResourceSliceSpec(driver=DRIVER_NAME, pool=POOL, node_name="n1", devices=encoded)
    counters = ResourceSliceSpec(
        driver=DRIVER_NAME, pool=POOL, node_name="n1", shared_counters=encode_counter_sets(HARDWARE)
    )
    claims = {}
    for device, name in taken:
        shared = {"memory": "10Gi"} if device.kind is DeviceKind.SHARED else {}
        result = AllocationResult(
            request="main",
            driver=DRIVER_NAME,
            pool=POOL.name,
            device=format_name(device, HARDWARE.gpus),
            consumed_capacity=shared,
        )
        status = ResourceClaimStatus(
            allocation=Allocation(devices=DeviceAllocation(results=[result])),
            reserved_for=[ConsumerReference(resource="pods", name=f"pod-of-{name}", uid="u")],
        )
        claims["team", name] = ResourceClaim(metadata=ObjectMeta(name=name, namespace="team"), status=status)
    slices = (ResourceSlice(spec=counters), ResourceSlice(spec=spec))
    return ClusterView(slices={"n1": slices}, claims=claims)


def device(kind: DeviceKind, slots: tuple[int, ...], shape: str = "", start: int = 0) -> OfferedDevice:
    place = (shape, start) if shape else None
    return next(found for found in DEVICES if (found.kind, found.slots, _place(found)) == (kind, slots, place))


def _place(found: OfferedDevice) -> tuple[str, int] | None:
    return (shape_of(found.profile), found.placement.start) if found.profile and found.placement else None


def test_the_map_draws_partitions_shares_groups_and_whose_pods_have_them() -> None:
    taken = [
        (device(DeviceKind.MIG, (0,), "3g", 4), "three"),
        (device(DeviceKind.MIG, (0,), "1g", 2), "one"),
        (device(DeviceKind.SHARED, (1,)), "share"),
        (device(DeviceKind.GROUP, (2, 3)), "pair"),
        (device(DeviceKind.GPU, (4,)), "whole"),
    ]
    lines = draw_map(fleet(view_with(taken))).splitlines()
    assert lines[0].startswith("n1  8 x NVIDIA H100")
    assert lines[1].startswith("  GPU 0  [..#.####]")
    assert "3g at 4        team/pod-of-three  (claim team/three)" in "\n".join(lines)
    assert "1g at 2        team/pod-of-one" in "\n".join(lines)
    assert "shared 10Gi    team/pod-of-share" in "\n".join(lines)
    assert sum("group of 2     team/pod-of-pair" in line for line in lines) == 2
    assert "whole          team/pod-of-whole" in "\n".join(lines)
    assert sum(line.endswith("free") for line in lines) == 3


def test_the_map_shows_who_looks_on_and_takes_nothing_for_it() -> None:
    taken = [(device(DeviceKind.GPU, (4,)), "whole"), (device(DeviceKind.MONITOR, ()), "dcgm")]
    lines = draw_map(fleet(view_with(taken))).splitlines()
    assert lines[-1] == "         monitor        team/pod-of-dcgm  (claim team/dcgm)"
    assert sum(line.endswith("free") for line in lines) == 7


def test_a_tainted_gpu_is_shown_as_such() -> None:
    fault = Taint(key="gpu.partita.dev/fault", value="stuck-bit", effect="NoExecute")
    assert "tainted: gpu.partita.dev/fault=stuck-bit:NoExecute" in draw_map(fleet(view_with([], [fault])))


def test_what_is_withdrawn_of_a_gpu_is_not_all_of_it() -> None:
    """A claim still has a partition of the machine that was there before; what is there now is everybody's."""
    (held,) = (device.name for one in exchanged_machine() for device in one.spec.devices if device.taints)
    drawn = draw_map(fleet(view({"a": exchanged_machine()}, holding("old", "a", held)))).splitlines()
    assert drawn[1].rstrip() == "  GPU 0  [....]    24Gi"
    assert drawn[2] == "         1g at 6, withdrawn no pod yet  (claim default/old)"
    plain = draw_map(fleet(view({"a": slices("a", "a30-x4")}))).splitlines()
    assert [drawn[0], *drawn[3:]] == [plain[0], *plain[2:]]


def test_a_withdrawn_partition_takes_its_cells_as_long_as_somebody_has_it() -> None:
    part = device(DeviceKind.MIG, (0,), "1g", 2)
    shown = view_with([(part, "one")])
    (counters, published) = shown.slices["n1"]
    name, taints = format_name(part, HARDWARE.gpus), [Taint(key=WITHDRAWN_TAINT_KEY, effect="NoSchedule")]
    devices = [
        msgspec.structs.replace(one, taints=taints) if one.name == name else one for one in published.spec.devices
    ]
    spec = msgspec.structs.replace(published.spec, devices=devices)
    left = replace(shown, slices={"n1": (counters, ResourceSlice(spec=spec))})
    drawn = draw_map(fleet(left)).replace("1g at 2, withdrawn", "1g at 2       ")
    assert drawn == draw_map(fleet(shown))


def test_a_gpu_that_is_withdrawn_as_a_whole_is_shown_as_such() -> None:
    withdrawn = Taint(key=WITHDRAWN_TAINT_KEY, effect="NoSchedule")
    assert "tainted: gpu.partita.dev/withdrawn:NoSchedule" in draw_map(fleet(view_with([], [withdrawn])))


def test_a_gpu_that_a_rule_taints_is_shown_with_the_rule() -> None:
    drain = RuleTaint(key="example.com/drain", effect="NoSchedule", rule="drain-n1")
    assert "tainted: example.com/drain:NoSchedule (rule drain-n1)" in draw_map(fleet(view_with([], [drain])))


def test_no_slices_is_said_in_words() -> None:
    assert "is the driver running" in draw_map(fleet(ClusterView()))


def test_what_other_drivers_publish_is_not_ours_to_draw() -> None:
    other = ResourceSlice(spec=ResourceSliceSpec(driver="other", pool=Pool(name="n9"), node_name="n9"))
    assert fleet(ClusterView(slices={"n9": (other,)})) == ()


@settings(max_examples=60)
@given(st.lists(st.sampled_from([d for d in DEVICES if d.placement]), max_size=12))
def test_drawn_cells_are_the_memory_slices_of_the_placements(wanted: list[OfferedDevice]) -> None:
    """Partitions that do not overlap take each cell once; the map shows exactly those cells."""
    taken: list[tuple[OfferedDevice, str]] = []
    cells: dict[int, set[int]] = {}
    for number, found in enumerate(wanted):
        assert found.placement is not None
        own = set(range(found.placement.start, found.placement.start + found.placement.size))
        if not own & cells.setdefault(found.slots[0], set()):
            cells[found.slots[0]] |= own
            taken.append((found, f"c{number}"))
    (drawn,) = fleet(view_with(taken))
    assert {gpu.slot: set(gpu.used) for gpu in drawn.gpus} == {slot: cells.get(slot, set()) for slot in range(8)}


Cluster = tuple[ApiServer, Path]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with api_server(tmp_path) as (server, _):
        for name in ("a", "b"):
            server.create(node(name))
        server.create(whole_gpus("a"))
        server.create(device_class())
        yield server, tmp_path / "kubeconfig"


def call(cluster: Cluster, *args: str) -> str:
    result = CliRunner().invoke(main, list(args), env={"KUBECONFIG": str(cluster[1])})
    assert result.exit_code == 0, result.output
    return result.output


def test_map_reads_the_cluster_of_the_kubeconfig(cluster: Cluster) -> None:
    cluster[0].create(claim("wish"))
    cluster[0].create(pod("train", "wish"))
    EmbeddedScheduler(cluster[0]).step()
    assert "default/train" in call(cluster, "map")
    found = json.loads(call(cluster, "map", "--json"))
    assert [gpu["holdings"] != [] for gpu in found[0]["gpus"]].count(True) == 1


def test_why_names_the_nodes_that_fit_and_those_that_do_not(cluster: Cluster) -> None:
    cluster[0].create(claim("wish"))
    cluster[0].create(pod("train", "wish"))
    text = call(cluster, "why", "train")
    assert text.startswith("default/train: Pending\nclaim wish: not allocated\n  a  score 10")
    assert "\n  b  no: " in text


def test_why_gives_the_numbers_of_the_extender_that_is_ready(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port-forward itself is tried on a real cluster: tests/e2e/test_judging.py."""
    cluster[0].create(claim("wish"))
    cluster[0].create(pod("train", "wish"))
    for name, ready in (("stands-by", "False"), ("answers", "True")):
        body = pod(name)
        labels = {"app.kubernetes.io/name": "partita-scheduler"}
        body["metadata"] = {"name": name, "namespace": "partita-system", "labels": labels}
        cluster[0].create(body)
        status = {"conditions": [{"type": "Ready", "status": ready}]}
        cluster[0].patch("Pod", name, {"status": status}, "partita-system", subresource="status")
    best = NodeReport(node="b", fits=True, score=10, explanation="by what it has learned")
    told = PodReport(pod="default/train", fits=True, summary="", nodes=[best])

    def get_from_pod(_: KubeApi, *asked: object) -> tuple[int, bytes]:
        assert asked == ("answers", "partita-system", 8887, "/explain/default/train")
        return 200, msgspec.json.encode(told)

    monkeypatch.setattr(extender, "get_from_pod", get_from_pod)
    assert call(cluster, "why", "train").endswith("  b  score 10  by what it has learned\n")
    monkeypatch.setattr(extender, "get_from_pod", lambda *_: (404, b"no pending pod"))
    text = call(cluster, "why", "train")
    assert "\n  a  score 10" in text
    assert text.endswith(": pod partita-system/answers answered 404: no pending pod\n")


def test_who_may_not_see_all_pods_is_answered_without_their_cpu(cluster: Cluster) -> None:
    cluster[0].create(claim("wish"))
    cluster[0].create(pod("train", "wish"))
    cluster[0].faults.fail(403, path="/api/v1/pods", times=-1, reason="Forbidden")
    text = call(cluster, "why", "train")
    assert "\n  a  score 10" in text
    assert "note: judged here, by the default settings and the pods of today, not by the extender: " in text


def drain(node_name: str) -> Json:
    spec = {"deviceSelector": {"pool": pool_name(node_name)}, "taint": {"key": "drain", "effect": "NoSchedule"}}
    metadata = {"name": f"drain-{node_name}"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule", "metadata": metadata, "spec": spec}


def test_why_names_the_rule_that_keeps_the_pod_away_from_a_node(cluster: Cluster) -> None:
    cluster[0].create(claim("wish"))
    cluster[0].create(pod("train", "wish"))
    cluster[0].create(drain("a"))
    assert EmbeddedScheduler(cluster[0]).step() == 0
    assert "\n  a  no: every GPU tainted by rule drain-a (drain:NoSchedule)\n" in call(cluster, "why", "train")


def test_who_may_not_see_rules_is_told_so_and_sees_the_rest(cluster: Cluster) -> None:
    cluster[0].create(claim("wish"))
    cluster[0].create(pod("train", "wish"))
    cluster[0].create(drain("a"))
    cluster[0].faults.fail(403, path="devicetaintrules", times=-1, reason="Forbidden")
    result = CliRunner().invoke(main, ["why", "train"], env={"KUBECONFIG": str(cluster[1])})
    assert result.exit_code == 0
    assert "\n  a  score 10" in result.stdout
    assert result.stderr.startswith("DeviceTaintRules are left out, devices that one taints look free: ")


def test_why_says_in_one_line_that_no_node_can_take_the_pod(cluster: Cluster) -> None:
    cluster[0].create(claim("wish", count=5))
    cluster[0].create(pod("train", "wish"))
    assert "no node can take it: " in call(cluster, "why", "pod/train", "-n", "default")


def test_why_shows_the_devices_of_a_placed_pod_with_their_last_validation(cluster: Cluster) -> None:
    cluster[0].create(claim("wish"))
    cluster[0].create(pod("train", "wish"))
    EmbeddedScheduler(cluster[0]).step()
    made = cluster[0].get("ResourceClaim", "wish", "default")
    (result,) = made["status"]["allocation"]["devices"]["results"]
    condition = {
        "type": "Validated",
        "status": "True",
        "reason": "Full",
        "message": "all 80Gi written and read",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    validation = {"method": "x", "depth": "quick", "moment": "prepare", "seconds": 0.042, "memoryCoverage": 0.99997}
    found = {key: result[key] for key in ("driver", "pool", "device")} | {
        "conditions": [condition],
        "data": {"uuid": "GPU-1", "validation": validation},
    }
    cluster[0].update({**made, "status": {**made["status"], "devices": [found]}}, subresource="status")
    text = call(cluster, "why", "train")
    assert f"claim wish: {result['pool']}/{result['device']} on a" in text
    assert f"  {result['device']}: Validated=True Full all 80Gi written and read" in text
    words = "validated before its container started, in 0.042 s, 99.9% of its memory written and read back (x, quick)"
    assert f"  {result['device']}: {words}" in text
    assert text.endswith("nothing of this pod is waiting for GPUs\n")


def test_a_pod_that_has_its_plain_gpus_waits_for_none(cluster: Cluster) -> None:
    """Whoever gave them to it: the claim that kube-scheduler made, or a device plugin."""
    served = device_class("plain")
    served["spec"]["extendedResourceName"] = "nvidia.com/gpu"
    cluster[0].create(served)
    wants = {"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    cluster[0].create(pod("waits", containers=[wants]))
    cluster[0].create(pod("runs", containers=[wants], nodeName="b"))
    assert "\n  a  score 10" in call(cluster, "why", "waits")
    assert call(cluster, "why", "runs").endswith("nothing of this pod is waiting for GPUs\n")


def test_why_says_which_device_failed_its_validation_and_on_which_node(cluster: Cluster) -> None:
    cluster[0].create(claim("wish"))
    made = cluster[0].create(pod("train", "wish"))
    api = KubeApi.connect(str(cluster[1]))
    regarding = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "train"}
    for uid in (made["metadata"]["uid"], "of-another-pod"):
        told = {**regarding, "uid": uid}
        EventRecorder(api, "partita-driver", "a").record(told, "Warning", "DeviceValidationFailed", f"bit 3 in {uid}")
    text = call(cluster, "why", "train")
    assert f"failed: bit 3 in {made['metadata']['uid']} (node a)" in text
    assert "of-another-pod" not in text


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ({"depth": "skipped", "skipped": "shared"}, "not validated: others compute on the GPU"),
        ({"depth": "skipped", "skipped": "off"}, "not validated: the node's settings say so"),
        (
            {"depth": "full", "method": "x", "moment": "bind", "memoryCoverage": 1.0},
            "before its pod was bound, 100%",
        ),
        ({"depth": "full", "method": "reference"}, "validated (reference, full)"),
        ({"depth": "deeper"}, None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_a_validation_is_told_in_words_and_what_is_unknown_is_not_made_up(validation: Any, words: str | None) -> None:
    told = validation_words({"validation": validation})
    assert (words in told) if words and told else told is words


def test_a_pod_that_is_not_there_is_one_line_with_advice(cluster: Cluster) -> None:
    result = CliRunner().invoke(main, ["why", "ghost"], env={"KUBECONFIG": str(cluster[1])})
    assert result.exit_code == 1
    assert result.output == "Error: there is no pod default/ghost; give its namespace with -n\n"


def test_version_works_without_a_cluster(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["version"], env={"KUBECONFIG": str(tmp_path / "none")})
    assert result.exit_code == 0
    assert "kubectl-partita " in result.output
    assert "no cluster" in result.output
