"""Contract of DeviceBackend on any machine: what getters.py asks, and how GPUs are shared."""

from __future__ import annotations

from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import NvmlCode
from partita_plugins.model.instances import ComputeMode
from partita_plugins.model.mig import Placement
from partita_plugins.testing.contracts.answers import refused
from partita_plugins.testing.contracts.getters import NOBODY, GettersContract


class SharingContract:
    """Supply `backend`: a backend over a healthy machine with MIG off, that nobody else uses."""

    def test_time_slices_have_four_names(self, backend: DeviceBackend) -> None:
        gpu = backend.discover().gpus[0]
        for interval in ("Short", "Medium", "Long", "Default"):
            backend.set_time_slice(gpu.uuid, interval)
        with refused(NvmlCode.INVALID_ARGUMENT):
            backend.set_time_slice(gpu.uuid, "Forever")
        with refused(NvmlCode.NOT_FOUND):
            backend.set_time_slice(NOBODY, "Short")

    def test_a_compute_mode_stays_until_it_is_set_back(self, backend: DeviceBackend) -> None:
        gpu, *others = backend.discover().gpus
        for mode in (ComputeMode.EXCLUSIVE_PROCESS, ComputeMode.PROHIBITED, ComputeMode.DEFAULT):
            backend.set_compute_mode(gpu.uuid, mode)
            assert backend.compute_mode(gpu.uuid) is mode
            assert all(backend.compute_mode(other.uuid) is ComputeMode.DEFAULT for other in others)
        with refused(NvmlCode.NOT_FOUND):
            backend.set_compute_mode(NOBODY, ComputeMode.DEFAULT)

    def test_with_mig_off_there_are_no_instances_and_none_can_be_made(self, backend: DeviceBackend) -> None:
        gpu = backend.discover().gpus[0]
        assert backend.gpu_instances(gpu.uuid) == ()
        with refused(NvmlCode.NOT_SUPPORTED):
            backend.create_gpu_instance(gpu.uuid, 0, Placement(0, 8))
        with refused(NvmlCode.NOT_SUPPORTED):
            backend.destroy_gpu_instance(gpu.uuid, 0)
        with refused(NvmlCode.NOT_SUPPORTED):
            backend.create_compute_instance(gpu.uuid, 0)


class DeviceBackendContract(GettersContract, SharingContract):
    """Both, for the same `backend`."""


class NoMigContract:
    """Supply `backend`: a backend over a machine whose GPUs cannot do MIG."""

    def test_mig_mode_is_not_supported(self, backend: DeviceBackend) -> None:
        for gpu in backend.discover().gpus:
            assert gpu.mig is None
            with refused(NvmlCode.NOT_SUPPORTED):
                backend.set_mig_mode(gpu.uuid, enabled=True)
