"""Every rule of doctor: what is in the way is found, weighed, and comes with a next step; a sound node has nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from partita_driver.doctor.facts import Absent, FolderFacts, GpuFacts, KubeFacts, NodeFacts, ToolkitFacts
from partita_driver.doctor.findings import Weight, findings
from partita_driver.doctor.offers import can_offer
from partita_driver.doctor.others import others
from partita_driver.doctor.show import as_text
from partita_driver.health.faults import Fault
from partita_driver.journal.records import GpuLook
from partita_plugins.backends.catalog import machine
from partita_plugins.model.gpu import Fabric, FabricState
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import ComputeMode, GpuInstance, GpuProcess
from partita_plugins.model.mig import Placement

HARDWARE = machine("hgx-h100", seed="node-a")
FIRST, *REST = HARDWARE.gpus
SOUND = NodeFacts(
    node_name="node-a",
    backend="nvml",
    hardware=HARDWARE,
    gpus=tuple(GpuFacts(gpu=gpu) for gpu in HARDWARE.gpus),
    toolkit=ToolkitFacts(program="/usr/bin/nvidia-ctk", mounts=30, hooks=4),
    folders=(FolderFacts(path="/var/run/cdi", purpose="CDI files"),),
    kube=KubeFacts(labels={"nvidia.com/gpu.present": "true"}, allocatable={"cpu": "8", "nvidia.com/gpu": "0"}),
)
PROCESS = GpuProcess(pid=4711, name="python3")
XORG = GpuProcess(pid=2000, name="Xorg", only_draws=True)
MIG_FIELDS = ("enabled", "pending", "mode_needs_reset", "profiles")
STALE = {"nvidia.com/mig.config.state": "pending", "nvidia.com/mig.config": "all-1g"}
"""What mig-manager leaves on a node that it was taken off."""
INSTANCE = GpuInstance(gpu_uuid=FIRST.uuid, gpu_instance_id=2, profile_id=9, placement=Placement(4, 4))


def first_is(**changes: object) -> NodeFacts:
    """The sound node, with its first GPU changed."""
    first = SOUND.gpus[0]
    assert FIRST.mig is not None
    if mig := {name: changes.pop(name) for name in MIG_FIELDS if name in changes}:
        changes["gpu"] = replace(FIRST, mig=replace(FIRST.mig, **mig))  # type: ignore[arg-type]
    return replace(SOUND, gpus=(replace(first, **changes), *SOUND.gpus[1:]))  # type: ignore[arg-type]


def test_a_sound_node_has_no_findings_and_offers_all_of_every_gpu() -> None:
    assert findings(SOUND) == ()
    assert set(can_offer(SOUND, ()).values()) == {("whole", "shared", "in groups", "mig 1g 1g-double 2g 3g 4g 7g")}


@pytest.mark.parametrize(
    ("facts", "weight", "what", "step"),
    [
        (replace(SOUND, hardware=None, gpus=(), error="no library (LIBRARY_NOT_FOUND); install it"), "blocks",
         "cannot be looked at: no library", "install it"),
        (replace(SOUND, hardware=None, gpus=()), "blocks", "there is no GPU", "GPU nodes only"),
        (replace(SOUND, absent=(Absent(gpu_uuid="GPU-1", why="it hangs"),)), "blocks", "it hangs", "kernel log"),
        (replace(SOUND, toolkit=ToolkitFacts(error="there is no nvidia-ctk; install the toolkit")), "blocks",
         "no driver libraries: there is no nvidia-ctk", "install the toolkit"),
        (replace(SOUND, folders=(FolderFacts(path="/x", purpose="CDI files", problem="cannot be written"),)), "blocks",
         r"/x \(CDI files\) cannot be written", "mount it"),
        (replace(SOUND, kube=KubeFacts(error="refused; give --kubeconfig")), "blocks", "refused", "--kubeconfig"),
        (replace(SOUND, kube=KubeFacts(error="it is silent")), "blocks", "it is silent", "network policy"),
        (replace(SOUND, kube=KubeFacts(allocatable={"nvidia.com/gpu": "8"})), "blocks", "device plugin", "DaemonSet"),
        (replace(SOUND, kube=KubeFacts(allocatable={"nvidia.com/gpu.shared": "80"})), "blocks", "device plugin", ""),
        (replace(SOUND, kube=KubeFacts(allocatable={"nvidia.com/mig-1g.10gb": "7"})), "blocks", "device plugin", ""),
        (replace(SOUND, kube=KubeFacts(other_slices=("gpu.nvidia.com",))), "blocks", "publishes this node", "Helm"),
        (replace(SOUND, kube=KubeFacts(labels={"nvidia.com/mig.config.state": "pending"})), "blocks",
         "mig-manager is changing MIG", "wait"),
        (replace(SOUND, kube=KubeFacts(labels={"nvidia.com/mig.config": "all-1g"})), "limits",
         "mig-manager keeps MIG as 'all-1g'", "mig-manager=false"),
        (first_is(processes=(PROCESS, PROCESS)), "blocks", r"python3 \(PID 4711\) and 1 more", "stop it"),
        (first_is(processes=(XORG, PROCESS)), "blocks", r"^python3 \(PID 4711\) computes", "stop it"),
        (first_is(processes=(XORG,)), "limits", r"Xorg \(PID 2000\) draws", "display server"),
        (first_is(instances=(INSTANCE,)), "limits", "GPU instance 2 at slice 4", "-dci"),
        (first_is(health=(HealthEvent(gpu_uuid=FIRST.uuid, kind="xid", xid=79, message="XID 79"),)), "blocks",
         "XID 79", "reboot"),
        (first_is(health=(HealthEvent(gpu_uuid=FIRST.uuid, kind="ecc", placements=(Placement(0, 1),)),)), "limits",
         "the GPU reports ecc", "by itself"),
        (first_is(faults=(Fault(gpu_uuid=FIRST.uuid, reason="validation", message="a bit is stuck"),)), "blocks",
         r"quarantined \(validation\): a bit is stuck", "by itself"),
        (first_is(refusals=("health on GPU-1: it is silent",)), "blocks", "it is silent", "kernel log"),
        (first_is(gpu=replace(FIRST, fabric=Fabric(state=FabricState.NOT_STARTED))), "blocks", "NotStarted", "fabricm"),
        (first_is(gpu=replace(FIRST, fabric=Fabric(state=FabricState.COMPLETED, failed=True))), "blocks",
         "refused", "nvidia-fabricmanager"),
        (first_is(enabled=False, pending=True), "limits", "MIG mode is off and on after the next reset", "--gpu-reset"),
        (first_is(profiles=()), "limits", "MIG is off and the driver lists no profiles", "R535"),
        (first_is(mode_needs_reset=True), "note", "only a reset turns it on", "-mig 1"),
        (first_is(mode_needs_reset=True, enabled=True, pending=True), "note", "never the whole GPU", "-mig 0"),
        (first_is(compute_mode=ComputeMode.PROHIBITED), "blocks", "nothing computes", "-c DEFAULT"),
        (first_is(compute_mode=ComputeMode.EXCLUSIVE_PROCESS), "limits", "cannot be shared", "-c DEFAULT"),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_found(facts: NodeFacts, weight: str, what: str, step: str) -> None:
    (found,) = findings(facts)
    assert found.weight == weight
    assert re.search(what, found.what), found.what
    assert found.next_step
    assert step in found.next_step


@pytest.mark.parametrize(
    "facts",
    [
        first_is(health=(HealthEvent(gpu_uuid=FIRST.uuid, kind="xid", xid=31, message="a program's fault"),)),
        first_is(processes=(PROCESS,), claims=(("uid", None),)),
        first_is(compute_mode=ComputeMode.EXCLUSIVE_PROCESS, claims=(("uid", None),)),
        first_is(instances=(INSTANCE,), claims=(("uid", Placement(4, 4)),)),
        first_is(gpu=replace(FIRST, fabric=Fabric(state=FabricState.COMPLETED))),
        replace(SOUND, kube=KubeFacts(allocatable={"nvidia.com/gpu": "0", "nvidia.com/hostdev": "2"})),
        replace(SOUND, kube=KubeFacts(other_slices=("dra.net",))),
        replace(SOUND, kube=KubeFacts(labels={**STALE, "nvidia.com/gpu.deploy.mig-manager": "false"})),
    ],
)
def test_what_is_as_it_should_be_is_not_found(facts: NodeFacts) -> None:
    assert findings(facts) == ()


def test_what_blocks_a_gpu_leaves_the_others_their_offer() -> None:
    facts = first_is(processes=(PROCESS,))
    offers = can_offer(facts, findings(facts))
    assert offers[FIRST.uuid] == ()
    assert all("whole" in offers[gpu.uuid] for gpu in REST)


def test_what_blocks_the_node_leaves_nothing() -> None:
    facts = replace(SOUND, kube=KubeFacts(allocatable={"nvidia.com/gpu": "8"}))
    assert set(can_offer(facts, findings(facts)).values()) == {()}


def test_a_partition_of_somebody_else_leaves_what_it_does_not_overlap() -> None:
    facts = first_is(instances=(INSTANCE,))
    assert can_offer(facts, findings(facts))[FIRST.uuid] == ("mig 1g 1g-double 2g 3g 4g",)
    (other,) = others(facts)
    assert (other.gpu_uuid, other.placement, other.withholds) == (FIRST.uuid, Placement(4, 4), False)


def test_what_blocks_comes_first() -> None:
    facts = replace(
        first_is(mode_needs_reset=True, processes=(PROCESS,)), kube=KubeFacts(labels={"nvidia.com/mig.config": "x"})
    )
    assert [finding.weight for finding in findings(facts)] == [Weight.BLOCKS, Weight.LIMITS, Weight.NOTE]


def test_the_last_validation_of_each_gpu_is_shown_once_there_is_one() -> None:
    assert "VALIDATED" not in as_text(SOUND, ())
    shown = as_text(first_is(look=GpuLook(at=1_800_000_000.0, depth="full")), ()).splitlines()
    assert "VALIDATED" in shown[1]
    assert "2027-01-15 08:00 full" in shown[2]
    failed = as_text(first_is(look=GpuLook(at=1_800_000_000.0, passed=False)), ())
    assert "2027-01-15 08:00 failed" in failed
