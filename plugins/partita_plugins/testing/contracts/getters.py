"""Contract of DeviceBackend, the part that changes nothing on a GPU: safe where others work on it."""

from __future__ import annotations

import time

from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import NvmlCode
from partita_plugins.model.gpu import FabricState
from partita_plugins.model.instances import ComputeMode
from partita_plugins.testing.contracts.answers import refused

NOBODY = "GPU-00000000-0000-0000-0000-000000000000"


class GettersContract:
    """Supply `backend`: a backend over a healthy machine."""

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

    def test_a_monitor_has_the_nodes_of_every_gpu_and_of_no_instance(self, backend: DeviceBackend) -> None:
        nodes = backend.monitor_nodes()
        of_gpus = {node for gpu in backend.discover().gpus for node in backend.device_nodes(gpu.uuid, None)}
        assert len({node.path for node in nodes}) == len(nodes)
        assert of_gpus <= set(nodes)
        assert all("nvidia-caps" in node.path for node in set(nodes) - of_gpus)
        assert len(set(nodes) - of_gpus) <= 1

    def test_healthy_gpus_report_nothing(self, backend: DeviceBackend) -> None:
        assert [backend.health(gpu.uuid) for gpu in backend.discover().gpus] == [()] * len(backend.discover().gpus)

    def test_waiting_for_events_ends_in_time(self, backend: DeviceBackend) -> None:
        began = time.monotonic()
        assert backend.wait_events(0.05) == ()
        assert time.monotonic() - began < 30

    def test_an_unknown_gpu_is_not_found(self, backend: DeviceBackend) -> None:
        with refused(NvmlCode.NOT_FOUND):
            backend.gpu_instances(NOBODY)
        with refused(NvmlCode.NOT_FOUND):
            backend.device_nodes(NOBODY, None)
        with refused(NvmlCode.NOT_FOUND):
            backend.health(NOBODY)
        with refused(NvmlCode.NOT_FOUND):
            backend.health(NOBODY)
        with refused(NvmlCode.NOT_FOUND):
            backend.processes(NOBODY)
        with refused(NvmlCode.NOT_FOUND):
            backend.compute_mode(NOBODY)

    def test_processes_are_told_by_pid_each_on_its_gpu_or_an_instance_of_it(self, backend: DeviceBackend) -> None:
        for gpu in backend.discover().gpus:
            instances = {one.gpu_instance_id for one in backend.gpu_instances(gpu.uuid)}
            found = backend.processes(gpu.uuid)
            assert [one.pid for one in found] == sorted(one.pid for one in found)
            assert all(one.pid > 0 and (one.memory_mib is None or one.memory_mib >= 0) for one in found)
            assert {one.gpu_instance_id for one in found} <= {None, *instances}

    def test_every_gpu_has_a_compute_mode(self, backend: DeviceBackend) -> None:
        for gpu in backend.discover().gpus:
            mode = backend.compute_mode(gpu.uuid)
            assert mode is ComputeMode.DEFAULT or gpu.mig is None or not gpu.mig.enabled

    def test_gpus_that_have_joined_one_fabric_have_nvlinks_to_each_other(self, backend: DeviceBackend) -> None:
        hardware = backend.discover()
        # Links are down while MIG is on.
        joined = [None if gpu.mig and gpu.mig.enabled else gpu.fabric for gpu in hardware.gpus]
        for link in hardware.links:
            a, b = joined[link.a], joined[link.b]
            if a is not None and a == b and a.state is FabricState.COMPLETED and not a.failed:
                assert link.nvlinks > 0
