"""Contract of DeviceBackend on GPUs that can do MIG: placements, limits, error codes, instances within instances."""

from __future__ import annotations

from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.instances import ComputeMode, GpuInstance
from partita_plugins.model.mig import PLAIN_PROFILE_ENUMS, MigProfile, Placement
from partita_plugins.testing.contracts.answers import refused


class MigContract:
    """Supply `backend`: a backend over a healthy machine with MIG off, that nobody else uses.

    Where a mode switch takes a reset, override `reset`.
    """

    def reset(self, backend: DeviceBackend, gpu_uuid: str) -> None:
        """Reset a GPU so that its pending mode becomes current."""
        raise NotImplementedError("this GPU needs a reset: say how")

    def test_mode_switches_on_and_off(self, backend: DeviceBackend) -> None:
        gpu_uuid, _ = self._enabled(backend)
        assert _mig_enabled(backend, gpu_uuid)
        self._switch(backend, gpu_uuid, enabled=False)
        assert not _mig_enabled(backend, gpu_uuid)

    def test_a_mode_that_needs_a_reset_stays_pending_until_then(self, backend: DeviceBackend) -> None:
        gpu = backend.discover().gpus[0]
        assert gpu.mig is not None
        try:
            backend.set_mig_mode(gpu.uuid, enabled=True)
        except BackendError as error:
            assert (error.code, gpu.mig.mode_needs_reset) == (NvmlCode.RESET_REQUIRED, True)
        mig = backend.discover().gpus[0].mig
        assert mig is not None
        assert (mig.pending, mig.enabled) == (True, not gpu.mig.mode_needs_reset)

    def test_a_monitor_never_has_the_nodes_of_an_instance(self, backend: DeviceBackend) -> None:
        before = backend.monitor_nodes()
        gpu_uuid, profiles = self._enabled(backend)
        made = backend.create_gpu_instance(gpu_uuid, profiles[0].profile_id, profiles[0].placements[0])
        backend.create_compute_instance(gpu_uuid, made.gpu_instance_id)
        (instance,) = backend.gpu_instances(gpu_uuid)
        own = set(backend.device_nodes(gpu_uuid, instance)) - set(backend.device_nodes(gpu_uuid, None))
        assert own
        assert not own & set(backend.monitor_nodes())
        assert len(backend.monitor_nodes()) == len(before)

    def test_every_legal_placement_of_every_profile_can_be_made(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        for profile in profiles:
            for placement in profile.placements:
                made = backend.create_gpu_instance(gpu_uuid, profile.profile_id, placement)
                assert (made.profile_id, made.placement) == (profile.profile_id, placement)
                assert backend.gpu_instances(gpu_uuid) == (made,)
                backend.destroy_gpu_instance(gpu_uuid, made.gpu_instance_id)
        assert backend.gpu_instances(gpu_uuid) == ()

    def test_an_illegal_placement_is_an_invalid_argument(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        for profile in profiles:
            for placement in (Placement(profile.placements[-1].end, profile.size), Placement(0, profile.size + 1)):
                with refused(NvmlCode.INVALID_ARGUMENT):
                    backend.create_gpu_instance(gpu_uuid, profile.profile_id, placement)
        with refused(NvmlCode.INVALID_ARGUMENT):
            backend.create_gpu_instance(gpu_uuid, 999, Placement(0, 1))

    def test_an_occupied_placement_has_insufficient_resources(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        for profile in profiles:
            made = backend.create_gpu_instance(gpu_uuid, profile.profile_id, profile.placements[0])
            for other in profiles:
                if other.placements[0].overlaps(made.placement):
                    with refused(NvmlCode.INSUFFICIENT_RESOURCES):
                        backend.create_gpu_instance(gpu_uuid, other.profile_id, other.placements[0])
            backend.destroy_gpu_instance(gpu_uuid, made.gpu_instance_id)

    def test_profiles_with_media_extensions_have_a_maximum_below_their_placements(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        for profile in (profile for profile in profiles if profile.max_instances < len(profile.starts)):
            made = [
                backend.create_gpu_instance(gpu_uuid, profile.profile_id, placement)
                for placement in profile.placements[: profile.max_instances]
            ]
            with refused(NvmlCode.INSUFFICIENT_RESOURCES):
                backend.create_gpu_instance(gpu_uuid, profile.profile_id, profile.placements[profile.max_instances])
            for instance in made:
                backend.destroy_gpu_instance(gpu_uuid, instance.gpu_instance_id)

    def test_a_full_gpu_has_ids_and_uuids_of_their_own(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        made = self._filled(backend, gpu_uuid, profiles)
        assert len({instance.gpu_instance_id for instance in made}) == len(made) > 1
        assert len({instance.compute_instances[0].mig_uuid for instance in made}) == len(made)

    def test_device_nodes_of_a_partition_are_its_parent_and_two_of_its_own(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        minor = next(gpu.minor for gpu in backend.discover().gpus if gpu.uuid == gpu_uuid)
        own: list[str] = []
        for instance in self._filled(backend, gpu_uuid, profiles):
            paths = [node.path for node in backend.device_nodes(gpu_uuid, instance)]
            assert f"/dev/nvidia{minor}" in paths
            caps = [path for path in paths if path.startswith("/dev/nvidia-caps/")]
            assert len(caps) == 2
            own += caps
        assert len(set(own)) == len(own)

    def test_a_gpu_instance_with_a_compute_instance_is_in_use(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        widest = max(profiles, key=lambda one: one.compute_slices)
        made = backend.create_gpu_instance(gpu_uuid, widest.profile_id, widest.placements[0])
        compute = backend.create_compute_instance(gpu_uuid, made.gpu_instance_id)
        with refused(NvmlCode.IN_USE):
            backend.destroy_gpu_instance(gpu_uuid, made.gpu_instance_id)
        with refused(NvmlCode.INSUFFICIENT_RESOURCES):
            backend.create_compute_instance(gpu_uuid, made.gpu_instance_id)
        backend.destroy_compute_instance(gpu_uuid, made.gpu_instance_id, compute.compute_instance_id)
        backend.destroy_gpu_instance(gpu_uuid, made.gpu_instance_id)

    def test_what_is_not_there_cannot_be_destroyed(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        with refused(NvmlCode.NOT_FOUND):
            backend.destroy_gpu_instance(gpu_uuid, 3)
        with refused(NvmlCode.NOT_FOUND):
            backend.create_compute_instance(gpu_uuid, 3)
        made = backend.create_gpu_instance(gpu_uuid, profiles[0].profile_id, profiles[0].placements[0])
        with refused(NvmlCode.NOT_FOUND):
            backend.destroy_compute_instance(gpu_uuid, made.gpu_instance_id, 0)

    def test_mode_cannot_be_switched_off_over_instances(self, backend: DeviceBackend) -> None:
        gpu_uuid, profiles = self._enabled(backend)
        made = backend.create_gpu_instance(gpu_uuid, profiles[0].profile_id, profiles[0].placements[0])
        with refused(NvmlCode.IN_USE):
            backend.set_mig_mode(gpu_uuid, enabled=False)
        assert backend.gpu_instances(gpu_uuid) == (made,)

    def test_with_mig_on_a_gpu_is_not_shared_as_a_whole(self, backend: DeviceBackend) -> None:
        gpu_uuid, _ = self._enabled(backend)
        with refused(NvmlCode.NOT_SUPPORTED):
            backend.set_time_slice(gpu_uuid, "Short")
        with refused(NvmlCode.NOT_SUPPORTED):
            backend.set_compute_mode(gpu_uuid, ComputeMode.EXCLUSIVE_PROCESS)
        assert backend.compute_mode(gpu_uuid) is ComputeMode.DEFAULT

    def _enabled(self, backend: DeviceBackend) -> tuple[str, tuple[MigProfile, ...]]:
        gpu = backend.discover().gpus[0]
        assert gpu.mig is not None
        self._switch(backend, gpu.uuid, enabled=True)
        return gpu.uuid, gpu.mig.profiles

    def _switch(self, backend: DeviceBackend, gpu_uuid: str, *, enabled: bool) -> None:
        try:
            backend.set_mig_mode(gpu_uuid, enabled=enabled)
        except BackendError as error:
            assert error.code is NvmlCode.RESET_REQUIRED
            self.reset(backend, gpu_uuid)

    def _filled(
        self, backend: DeviceBackend, gpu_uuid: str, profiles: tuple[MigProfile, ...]
    ) -> tuple[GpuInstance, ...]:
        smallest = min((one for one in profiles if one.enum in PLAIN_PROFILE_ENUMS), key=lambda one: one.size)
        for placement in smallest.placements:
            made = backend.create_gpu_instance(gpu_uuid, smallest.profile_id, placement)
            backend.create_compute_instance(gpu_uuid, made.gpu_instance_id)
        return backend.gpu_instances(gpu_uuid)


def _mig_enabled(backend: DeviceBackend, gpu_uuid: str) -> bool:
    return any(gpu.mig is not None and gpu.mig.enabled for gpu in backend.discover().gpus if gpu.uuid == gpu_uuid)
