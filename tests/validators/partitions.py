"""MIG partitions that are made for a test."""

from __future__ import annotations

from partita_plugins.backends.simulated import SimulatedBackend
from partita_plugins.contracts import ValidationTarget
from partita_plugins.model.mig import Placement


def made_partition(
    node: SimulatedBackend, index: int, profile_id: int, placement: Placement, *, memory_mib: int, multiprocessors: int
) -> ValidationTarget:
    """One on the GPU at an index, with what it is promised to be."""
    gpu = node.discover().gpus[index]
    node.set_mig_mode(gpu.uuid, enabled=True)
    made = node.create_gpu_instance(gpu.uuid, profile_id, placement)
    node.create_compute_instance(gpu.uuid, made.gpu_instance_id)
    [instance] = node.gpu_instances(gpu.uuid)
    return ValidationTarget(gpu=gpu, instance=instance, memory_mib=memory_mib, multiprocessors=multiprocessors)
