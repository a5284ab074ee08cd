"""Who else uses a node's GPUs: NVIDIA's device plugin, DRA driver and mig-manager, other people's programs and MIG.

Two systems that hand out one GPU give it to two pods. So what somebody else owns is withheld, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from partita_driver.doctor.facts import GpuFacts, KubeFacts, NodeFacts
from partita_plugins.model.instances import GpuProcess
from partita_plugins.model.mig import Placement

NVIDIA_DRIVER = "gpu.nvidia.com"
EXTENDED_RESOURCE = "nvidia.com/gpu"
MIG_RESOURCES = "nvidia.com/mig-"
"""NVIDIA's device plugin with the mixed strategy: one resource a profile."""

MIG_STATE_LABEL = "nvidia.com/mig.config.state"
MIG_CONFIG_LABEL = "nvidia.com/mig.config"
MIG_AT_WORK = frozenset({"pending", "rebooting"})
"""mig-manager changes MIG on this node now."""

MIG_MANAGER_LABEL = "nvidia.com/gpu.deploy.mig-manager"
"""The GPU Operator's: "false" takes mig-manager off a node, and leaves its other labels as they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """One other user, of the node or of one GPU."""

    reason: str
    """Short and machine-readable: "device-plugin", "nvidia-dra", "mig-manager", "process", "mig-instance"."""

    what: str
    next_step: str
    withholds: bool = True
    """Whether what it is about must not be offered; False: only a warning."""

    gpu_uuid: str = ""
    """Empty: all GPUs of the node."""

    pci_bus_id: str = ""
    placement: Placement | None = None


def others(facts: NodeFacts) -> tuple[Other, ...]:
    """All other users that were seen."""
    found = list(_on_node(facts.kube)) if facts.kube else []
    for gpu in facts.gpus:
        found += _on_gpu(gpu)
    return tuple(found)


def _on_node(kube: KubeFacts) -> Iterator[Other]:
    offered = [name for name, count in kube.allocatable.items() if _is_device_plugins(name) and count not in ("", "0")]
    if offered:
        yield Other(
            reason="device-plugin",
            what=f"a device plugin offers this node's GPUs as {', '.join(sorted(offered))}",
            next_step="take the node out of the device plugin's DaemonSet (GPU Operator: label "
            "nvidia.com/gpu.deploy.device-plugin=false), or do not run Partita here",
        )
    for driver in kube.other_slices:
        if driver == NVIDIA_DRIVER:
            yield Other(
                reason="nvidia-dra",
                what=f"the DRA driver {driver} publishes this node's GPUs too",
                next_step="turn its GPU part off (Helm: resources.gpus.enabled=false), or do not run Partita here",
            )
    state, config = kube.labels.get(MIG_STATE_LABEL, ""), kube.labels.get(MIG_CONFIG_LABEL, "")
    if kube.labels.get(MIG_MANAGER_LABEL) == "false":
        return
    if state in MIG_AT_WORK:
        yield Other(
            reason="mig-manager",
            what=f"mig-manager is changing MIG on this node ({state})",
            next_step="wait until it is done; Partita makes partitions itself: label nvidia.com/gpu.deploy.mig-manager"
            "=false",
        )
    elif config:
        yield Other(
            reason="mig-manager",
            withholds=False,
            what=f"mig-manager keeps MIG as {config!r} here, and destroys partitions when the label changes",
            next_step="label the node nvidia.com/gpu.deploy.mig-manager=false and remove nvidia.com/mig.config",
        )


def _is_device_plugins(resource: str) -> bool:
    return resource == EXTENDED_RESOURCE or resource.startswith((f"{EXTENDED_RESOURCE}.", MIG_RESOURCES))


def _named(processes: Sequence[GpuProcess]) -> str:
    first = processes[0]
    more = f" and {len(processes) - 1} more" if len(processes) > 1 else ""
    return f"{first.name or 'a program'} (PID {first.pid}){more}"


def _on_gpu(facts: GpuFacts) -> Iterator[Other]:
    gpu = facts.gpu
    if facts.processes and not facts.claims:
        computing = tuple(one for one in facts.processes if not one.only_draws)
        does = "computes" if computing else "draws"
        yield Other(
            reason="process",
            # A display server takes some memory of every GPU that it finds; programs compute beside it.
            withholds=bool(computing),
            gpu_uuid=gpu.uuid,
            pci_bus_id=gpu.pci_bus_id,
            what=f"{_named(computing or facts.processes)} {does} on the GPU, and no claim of ours is on it",
            next_step="stop it, or keep this node out of Partita"
            if computing
            else "stop the display server (`systemctl isolate multi-user.target`): MIG mode is not switched under it",
        )
    for instance in facts.unowned:
        start, gi = instance.placement.start, instance.gpu_instance_id
        yield Other(
            reason="mig-instance",
            gpu_uuid=gpu.uuid,
            pci_bus_id=gpu.pci_bus_id,
            placement=instance.placement,
            withholds=False,
            what=f"GPU instance {gi} at slice {start} was made by somebody else: what overlaps it is not offered",
            next_step=f"`nvidia-smi mig -i {gpu.uuid} -gi {gi} -dci`, then the same with `-dgi`",
        )
