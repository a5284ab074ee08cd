"""GPU and compute instances, made and unmade at their places; found done is done, found gone is undone.

Targets are looked up by profile and placement: ids given out by the hardware are lost in a crash and used again.
"""

from __future__ import annotations

from partita_driver.fault_points import reached
from partita_driver.hardware.calls import Hardware
from partita_plugins.errors import Retryable
from partita_plugins.model.instances import GpuInstance
from partita_plugins.model.steps import CreateComputeInstance, CreateGpuInstance


def destroy_instance(hardware: Hardware, instance: GpuInstance) -> None:
    """Take a GPU instance with its compute instances away, and look that it is gone."""
    gpu_uuid, gpu_instance_id = instance.gpu_uuid, instance.gpu_instance_id
    hardware.destroy_compute_instances(instance)
    hardware.destroy_gpu_instance(gpu_uuid, gpu_instance_id)
    # NVML has been seen to say "done" and leave it there (go-nvml#146).
    if hardware.find(gpu_uuid, instance.profile_id, instance.placement):
        raise Retryable(f"GPU instance {gpu_instance_id} of {gpu_uuid} is still there after it was destroyed")


def make_gpu_instance(hardware: Hardware, step: CreateGpuInstance) -> None:
    """The GPU instance of a step."""
    if hardware.find(step.gpu_uuid, step.profile_id, step.placement) is None:
        hardware.create_gpu_instance(step.gpu_uuid, step.profile_id, step.placement)
    reached("done-create-gpu-instance")


def drop_gpu_instance(hardware: Hardware, step: CreateGpuInstance) -> None:
    """No GPU instance at a step's place."""
    instance = hardware.find(step.gpu_uuid, step.profile_id, step.placement)
    if instance is not None:
        destroy_instance(hardware, instance)
    reached("undone-create-gpu-instance")


def make_compute_instance(hardware: Hardware, step: CreateComputeInstance) -> None:
    """The compute instance of a step."""
    instance = hardware.find(step.gpu_uuid, step.profile_id, step.placement)
    if instance is None:
        raise Retryable(f"the GPU instance at slice {step.start} of {step.gpu_uuid} is gone again")
    if not instance.compute_instances:
        hardware.create_compute_instance(step.gpu_uuid, instance.gpu_instance_id)
    reached("done-create-compute-instance")


def drop_compute_instances(hardware: Hardware, step: CreateComputeInstance) -> None:
    """No compute instance at a step's place."""
    instance = hardware.find(step.gpu_uuid, step.profile_id, step.placement)
    if instance is not None:
        hardware.destroy_compute_instances(instance)
    reached("undone-create-compute-instance")
