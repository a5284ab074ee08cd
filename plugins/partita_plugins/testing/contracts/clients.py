"""Contract of DeviceBackend about processes: they are told, and what they hold is in use."""

from __future__ import annotations

from contextlib import AbstractContextManager

from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import NvmlCode
from partita_plugins.testing.contracts.answers import refused


class ClientsContract:
    """Supply `backend`: a backend over a machine that nobody uses, MIG off, its mode switched without a reset.

    Override `client`.
    """

    def client(self, backend: DeviceBackend, gpu_uuid: str, gpu_instance_id: int | None) -> AbstractContextManager[str]:
        """A process that computes on a GPU, or on the compute instance of an instance of it; yields its name."""
        raise NotImplementedError("say how a process is started")

    def test_a_process_on_a_whole_gpu_is_told_and_keeps_mig_off(self, backend: DeviceBackend) -> None:
        gpu, other = backend.gpu_uuids()[:2]
        with self.client(backend, gpu, None) as name:
            (found,) = backend.processes(gpu)
            assert (found.name, found.gpu_instance_id) == (name, None)
            assert backend.processes(other) == ()
            with refused(NvmlCode.IN_USE):
                backend.set_mig_mode(gpu, enabled=True)
            mig = backend.discover().gpus[0].mig
            assert mig is not None
            assert (mig.enabled, mig.pending) == (False, False)
        assert backend.processes(gpu) == ()
        backend.set_mig_mode(gpu, enabled=True)

    def test_a_process_on_an_instance_is_told_with_it_and_keeps_it(self, backend: DeviceBackend) -> None:
        gpu = backend.discover().gpus[0]
        assert gpu.mig is not None
        backend.set_mig_mode(gpu.uuid, enabled=True)
        profile = gpu.mig.profiles[0]
        for placement in profile.placements[:2]:
            made = backend.create_gpu_instance(gpu.uuid, profile.profile_id, placement)
            backend.create_compute_instance(gpu.uuid, made.gpu_instance_id)
        instance, _ = backend.gpu_instances(gpu.uuid)
        compute = instance.compute_instances[0].compute_instance_id
        with self.client(backend, gpu.uuid, instance.gpu_instance_id) as name:
            (found,) = backend.processes(gpu.uuid)
            assert (found.name, found.gpu_instance_id) == (name, instance.gpu_instance_id)
            with refused(NvmlCode.IN_USE):
                backend.destroy_compute_instance(gpu.uuid, instance.gpu_instance_id, compute)
        backend.destroy_compute_instance(gpu.uuid, instance.gpu_instance_id, compute)
        assert backend.processes(gpu.uuid) == ()
