"""pynvml over the C library keeps the backend contract, on every machine of the catalog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from partita_plugins.backends import catalog
from partita_plugins.backends.nvml import NvmlBackend, links
from partita_plugins.backends.simulated import SimulatedBackend
from partita_plugins.contracts import DeviceBackend
from partita_plugins.testing.contracts.backend import NoMigContract, SharingContract
from partita_plugins.testing.contracts.clients import ClientsContract
from partita_plugins.testing.contracts.getters import GettersContract
from partita_plugins.testing.contracts.mig import MigContract
from partita_plugins.testing.nvml import Node
from tests.backends.test_contracts import WITH_MIG, WITHOUT_MIG


@pytest.mark.parametrize("machine", catalog.names())
class TestAnyMachine(GettersContract):
    """Discovery, nodes, health, processes."""

    @pytest.fixture
    def node(self, untouched: Callable[[str], Node], machine: str) -> Node:
        return untouched(machine)


@pytest.mark.parametrize("machine", catalog.names())
class TestSharing(SharingContract):
    """Time slices and compute modes, by nvidia-smi."""


@pytest.mark.parametrize("machine", WITHOUT_MIG)
class TestMachineWithoutMig(NoMigContract):
    """dgx-1v, dgx-2 and l40s-x8."""


@pytest.mark.parametrize("machine", WITH_MIG)
class TestMachineWithMig(MigContract):
    """Everything since Ampere but Ada."""

    @pytest.fixture(autouse=True)
    def _resets(self, simulated: SimulatedBackend) -> None:
        self.simulated = simulated

    def reset(self, backend: DeviceBackend, gpu_uuid: str) -> None:
        assert isinstance(backend, NvmlBackend)
        self.simulated.reset(gpu_uuid)


class TestProcesses(ClientsContract):
    """Where a mode switch takes no reset."""

    @pytest.fixture(autouse=True)
    def _processes(self, simulated: SimulatedBackend) -> None:
        self.simulated = simulated

    @contextmanager
    def client(self, backend: DeviceBackend, gpu_uuid: str, gpu_instance_id: int | None) -> Iterator[str]:
        assert isinstance(backend, NvmlBackend)
        self.simulated.start_client(gpu_uuid, "train", gpu_instance_id)
        yield "train"
        self.simulated.stop_client(gpu_uuid, "train")


@pytest.mark.parametrize("machine", catalog.names())
def test_both_backends_see_the_same_machine(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    assert backend.gpu_uuids() == simulated.gpu_uuids()
    assert backend.discover() == simulated.discover()


@pytest.mark.parametrize("machine", ["hgx-h100", "rtx-pro-6000-x8"])
def test_both_backends_see_the_same_instances(backend: NvmlBackend, simulated: SimulatedBackend) -> None:
    gpu = backend.discover().gpus[1]
    assert gpu.mig is not None
    simulated.set_mig_mode(gpu.uuid, enabled=True)
    smallest = gpu.mig.profiles[0]
    for index, placement in enumerate(smallest.placements):
        made = (backend, simulated)[index % 2].create_gpu_instance(gpu.uuid, smallest.profile_id, placement)
        if index:
            (simulated, backend)[index % 2].create_compute_instance(gpu.uuid, made.gpu_instance_id)
    found = backend.gpu_instances(gpu.uuid)
    assert [one.placement for one in found] == list(smallest.placements)
    assert found == tuple(sorted(simulated.gpu_instances(gpu.uuid), key=lambda one: one.placement))
    assert backend.discover() == simulated.discover()
    for instance in found:
        theirs = {(one.path, one.major, one.minor) for one in simulated.device_nodes(gpu.uuid, instance)}
        ours = {(one.path, one.major, one.minor) for one in backend.device_nodes(gpu.uuid, instance)}
        assert theirs <= ours


def test_links_that_are_down_in_mig_mode_are_remembered(backend: NvmlBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    before = backend.discover()
    for gpu in before.gpus[:2]:
        backend.set_mig_mode(gpu.uuid, enabled=True)
    monkeypatch.setattr(links, "read", lambda _: links.Links(to_gpus=Counter(), to_switches=0, gbps=0))
    found = {(link.a, link.b): link.nvlinks for link in backend.discover().links}
    assert (found[0, 1], found[2, 3]) == (18, 0)
