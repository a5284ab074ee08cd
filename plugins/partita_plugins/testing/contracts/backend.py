"""Contract of DeviceBackend: discovery, device nodes, health and time slices on any machine."""

from __future__ import annotations

import time

from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import NvmlCode
from partita_plugins.model.mig import Placement
from partita_plugins.testing.contracts.answers import refused

NOBODY = "GPU-00000000-0000-0000-0000-000000000000"


class DeviceBackendContract:
    """Supply `backend`: a backend over a healthy machine with MIG off, that nobody else uses."""

    def test_every_gpu_has_an_identity_of_its_own(self, backend: DeviceBackend) -> None:
        gpus = backend.discover().gpus
        assert gpus
        assert len({gpu.uuid for gpu in gpus}) == len(gpus)
        assert len({gpu.pci_bus_id for gpu in gpus}) == len(gpus)
        assert len({gpu.minor for gpu in gpus}) == len(gpus)

    def test_discovery_repeats_itself(self, backend: DeviceBackend) -> None:
        assert backend.discover() == backend.discover()

    def test_a_gpu_that_is_not_to_be_asked_is_left_out_with_its_links(self, backend: DeviceBackend) -> None:
        first, *others = uuids = backend.gpu_uuids()
        assert [gpu.uuid for gpu in backend.discover().gpus] == list(uuids)
        found = backend.discover(without={first})
        assert found == backend.discover().without({first})
        assert [gpu.uuid for gpu in found.gpus] == others

    def test_every_pair_of_gpus_has_one_link(self, backend: DeviceBackend) -> None:
        hardware = backend.discover()
        count = len(hardware.gpus)
        pairs = {(a, b) for a in range(count) for b in range(a + 1, count)}
        assert {(link.a, link.b) for link in hardware.links} == pairs
        assert len(hardware.links) == len(pairs)

    def test_a_mig_profile_fits_its_gpu(self, backend: DeviceBackend) -> None:
        for gpu in backend.discover().gpus:
            for profile in gpu.mig.profiles if gpu.mig else ():
                assert 0 < profile.memory_mib <= gpu.memory_mib
                assert 0 < profile.multiprocessors <= gpu.multiprocessors
                assert profile.max_instances <= len(profile.starts)

    def test_a_whole_gpu_has_its_own_node_and_the_control_nodes(self, backend: DeviceBackend) -> None:
        for gpu in backend.discover().gpus:
            nodes = {node.path: node for node in backend.device_nodes(gpu.uuid, None)}
            assert (nodes[f"/dev/nvidia{gpu.minor}"].major, nodes[f"/dev/nvidia{gpu.minor}"].minor) == (195, gpu.minor)
            assert {"/dev/nvidiactl", "/dev/nvidia-uvm"} <= set(nodes)
            assert not [path for path in nodes if "nvidia-caps" in path]

    def test_two_gpus_share_no_node_but_the_control_nodes(self, backend: DeviceBackend) -> None:
        gpus = backend.discover().gpus
        nodes = [{node.path for node in backend.device_nodes(gpu.uuid, None)} for gpu in gpus]
        control = set.intersection(*nodes) if len(nodes) > 1 else set()
        assert all(len(paths - control) == 1 for paths in nodes[1:])

    def test_healthy_gpus_report_nothing(self, backend: DeviceBackend) -> None:
        assert [backend.health(gpu.uuid) for gpu in backend.discover().gpus] == [()] * len(backend.discover().gpus)

    def test_waiting_for_events_ends_in_time(self, backend: DeviceBackend) -> None:
        began = time.monotonic()
        assert backend.wait_events(0.05) == ()
        assert time.monotonic() - began < 5

    def test_time_slices_have_four_names(self, backend: DeviceBackend) -> None:
        gpu = backend.discover().gpus[0]
        for interval in ("Short", "Medium", "Long", "Default"):
            backend.set_time_slice(gpu.uuid, interval)
        with refused(NvmlCode.INVALID_ARGUMENT):
            backend.set_time_slice(gpu.uuid, "Forever")

    def test_an_unknown_gpu_is_not_found(self, backend: DeviceBackend) -> None:
        with refused(NvmlCode.NOT_FOUND):
            backend.gpu_instances(NOBODY)
        with refused(NvmlCode.NOT_FOUND):
            backend.device_nodes(NOBODY, None)
        with refused(NvmlCode.NOT_FOUND):
            backend.health(NOBODY)

    def test_with_mig_off_there_are_no_instances_and_none_can_be_made(self, backend: DeviceBackend) -> None:
        gpu = backend.discover().gpus[0]
        assert backend.gpu_instances(gpu.uuid) == ()
        with refused(NvmlCode.NOT_SUPPORTED):
            backend.create_gpu_instance(gpu.uuid, 0, Placement(0, 8))
        with refused(NvmlCode.NOT_SUPPORTED):
            backend.destroy_gpu_instance(gpu.uuid, 0)
        with refused(NvmlCode.NOT_SUPPORTED):
            backend.create_compute_instance(gpu.uuid, 0)


class NoMigContract:
    """Supply `backend`: a backend over a machine whose GPUs cannot do MIG."""

    def test_mig_mode_is_not_supported(self, backend: DeviceBackend) -> None:
        for gpu in backend.discover().gpus:
            assert gpu.mig is None
            with refused(NvmlCode.NOT_SUPPORTED):
                backend.set_mig_mode(gpu.uuid, enabled=True)
