"""The engine over pynvml: what it does on simulated hardware, it does through NVML too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from partita_plugins.backends.nvml import NvmlBackend, open_backend
from partita_plugins.backends.simulated import FaultyMultiprocessor, Xid
from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import ValidationFailed
from partita_plugins.model.instances import ComputeMode
from partita_plugins.model.mig import Placement
from partita_plugins.testing import nvml
from partita_plugins.testing.gpu import host_validator
from tests.driver.engine.nodes import NODE, Node, claim, result, time_slice_config


@dataclass
class NvmlNode(Node):
    """A node whose driver asks NVML. Its hardware is the simulated one, which the C library shows."""

    nvml: NvmlBackend | None = None

    def seen_by_driver(self) -> DeviceBackend:
        self.close()
        self.nvml = open_backend(self.root / "nvml", driver_root=self.root / "hardware" / "root")
        return self.nvml

    def close(self) -> None:
        if self.nvml is not None:
            self.nvml.close()


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NvmlNode]:
    laid_out = nvml.installed(tmp_path / "hardware", "hgx-h100", seed=NODE)
    for name, value in laid_out.environment.items():
        monkeypatch.setenv(name, value)
    found = NvmlNode(tmp_path)
    yield found
    found.close()


def test_a_partition_is_made_handed_out_and_destroyed(node: NvmlNode) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    (device,) = node.engine.prepare(wanted)
    assert node.placements() == [(0, Placement(4, 4))]
    assert device.uuid == node.instances()[0][0].compute_instances[0].mig_uuid
    nodes = node.cdi(wanted.metadata.uid)["devices"][0]["containerEdits"]["deviceNodes"]
    assert len([one for one in nodes if one["path"].startswith("/dev/nvidia-caps/")]) == 2
    assert all(Path(one["hostPath"]).is_relative_to(node.root) for one in nodes)
    node.engine.unprepare(wanted.metadata.uid)
    assert (node.placements(), node.mig_enabled(0)) == ([], False)


def test_a_share_gets_its_time_slice_and_gives_it_back(node: NvmlNode) -> None:
    wanted = claim(result(node.shared(1), memory="10Gi"), config=time_slice_config("Long"))
    node.engine.prepare(wanted)
    assert node.time_slice(1) == "Long"
    node.engine.unprepare(wanted.metadata.uid)
    assert (node.time_slice(1), node.backend.compute_mode(node.gpu_uuid(1))) == ("Default", ComputeMode.DEFAULT)


def test_a_restart_keeps_what_is_handed_out_and_undoes_what_nobody_owns(node: NvmlNode) -> None:
    kept = claim(node.mig(0, "3g", 4))
    node.engine.prepare(kept)
    node.start()
    assert node.placements() == [(0, Placement(4, 4))]
    assert set(node.engine.prepared()) == {kept.metadata.uid}
    node.engine.unprepare(kept.metadata.uid)
    assert node.placements() == []


def test_an_xid_is_a_fault_until_the_gpu_is_validated(node: NvmlNode) -> None:
    assert node.engine.wait_events(0.01) == ()
    node.backend.faults.plant(Xid(gpu_uuid=node.gpu_uuid(2), xid=48))
    (event,) = node.engine.wait_events(20)
    assert (event.gpu_uuid, event.xid) == (node.gpu_uuid(2), 48)


def test_kernels_find_a_multiprocessor_that_fails_one_partition_and_not_the_other(node: NvmlNode) -> None:
    """By the partition's CUDA UUID, as NVML tells it."""
    assert node.nvml
    fault = FaultyMultiprocessor(gpu_uuid=node.gpu_uuid(0), effect="swapped-lanes", multiprocessor=7, memory_slice=5)
    node.backend.faults.plant(fault)
    with closing(host_validator(node.nvml, spares=0)) as validator:
        node.engine._tools.validator = validator
        with pytest.raises(ValidationFailed, match=r"product fp16: .* wrong, on multiprocessor 7"):
            node.engine.prepare(claim(node.mig(0, "3g", 4)))
        node.engine.prepare(claim(node.mig(0, "3g", 0)))
    assert node.placements() == [(0, Placement(0, 4))]
