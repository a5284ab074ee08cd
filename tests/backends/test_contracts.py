"""The simulated backend keeps the backend contract on every machine of the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from partita_plugins.backends import catalog
from partita_plugins.backends.simulated import SimulatedBackend, open_backend
from partita_plugins.contracts import DeviceBackend
from partita_plugins.testing.contracts.backend import DeviceBackendContract, NoMigContract
from partita_plugins.testing.contracts.clients import ClientsContract
from partita_plugins.testing.contracts.mig import MigContract

WITH_MIG = [name for name in catalog.names() if catalog.machine(name).gpus[0].mig]
WITHOUT_MIG = [name for name in catalog.names() if name not in WITH_MIG]


class _Simulated:
    @pytest.fixture
    def backend(self, tmp_path: Path, machine: str) -> SimulatedBackend:
        return open_backend(tmp_path / "state", machine, seed="contract", words=2**12)


@pytest.mark.parametrize("machine", catalog.names())
class TestAnyMachine(_Simulated, DeviceBackendContract):
    """Discovery, nodes, health, time slices."""


@pytest.mark.parametrize("machine", WITHOUT_MIG)
class TestMachineWithoutMig(_Simulated, NoMigContract):
    """dgx-1v and l40s-x8."""


@pytest.mark.parametrize("machine", WITH_MIG)
class TestMachineWithMig(_Simulated, MigContract):
    """Everything since Ampere but Ada."""

    def reset(self, backend: DeviceBackend, gpu_uuid: str) -> None:
        assert isinstance(backend, SimulatedBackend)
        backend.reset(gpu_uuid)


@pytest.mark.parametrize("machine", ["hgx-h100"])
class TestProcesses(_Simulated, ClientsContract):
    """Where a mode switch takes no reset."""

    @contextmanager
    def client(self, backend: DeviceBackend, gpu_uuid: str, gpu_instance_id: int | None) -> Iterator[str]:
        assert isinstance(backend, SimulatedBackend)
        backend.start_client(gpu_uuid, "train", gpu_instance_id)
        yield "train"
        backend.stop_client(gpu_uuid, "train")


def test_both_kinds_of_machine_are_in_the_catalog() -> None:
    assert WITHOUT_MIG == ["dgx-1v", "dgx-2", "l40s-x8"]
    assert len(WITH_MIG) == 9
