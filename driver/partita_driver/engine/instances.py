"""What a claim's device is on the hardware now. Raises where that does not answer, or does not have it."""

from __future__ import annotations

from partita_driver.engine.tools import Tools
from partita_driver.journal.records import DeviceRecord
from partita_plugins.errors import Retryable
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.instances import GpuInstance


class PartitionGone(Retryable):
    """A partition that should be there is not: the GPU was asked, and has answered."""


def find_instance(tools: Tools, device: DeviceRecord) -> GpuInstance | None:
    """The partition of a MIG device, able to compute; None for other kinds. Raises PartitionGone if it is not there."""
    if device.placement is None or device.profile_id is None:
        return None
    instance = tools.hardware.find(device.gpu_uuids[0], device.profile_id, device.placement)
    if instance is None or not instance.compute_instances:
        raise PartitionGone(f"the partition {device.device} is not there", delay_seconds=2.0)
    return instance


def answering_gpu(tools: Tools, gpu_uuid: str) -> Gpu:
    """A GPU as it was last discovered. Raises Retryable if it was not."""
    gpu = tools.gpu(gpu_uuid)
    if gpu is None:
        raise Retryable(f"GPU {gpu_uuid} does not answer", delay_seconds=10.0)
    return gpu
