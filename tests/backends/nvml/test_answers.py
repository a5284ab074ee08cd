"""What real drivers answer, and the C library never does: a discovery and a listing take it as it is meant."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from partita_plugins.backends.nvml import NvmlBackend, instances, links, mig, processes
from partita_plugins.model.gpu import PcieLevel
from partita_plugins.model.instances import GpuProcess

H100 = SimpleNamespace(id=9, sliceCount=3, instanceCount=2)


def refusing(code: int) -> Any:
    def call(*_arguments: object, **_named: object) -> None:
        raise pynvml.NVMLError(code)

    return call


def process(pid: int) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=4 * 2**20, gpuInstanceId=pynvml.NVML_GPU_INSTANCE_ID_ANY)


def test_who_only_draws_is_told_from_who_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = {"Graphics": [1, 2], "MPSCompute": [], "Compute": [2, 3]}
    for kind, pids in lists.items():
        found = [process(pid) for pid in pids]
        monkeypatch.setattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v3", lambda _, found=found: found)
    monkeypatch.setattr(pynvml, "nvmlSystemGetProcessName", refusing(pynvml.NVML_ERROR_UNKNOWN))
    drawing, *computing = (GpuProcess(pid=pid, memory_mib=4, only_draws=pid == 1) for pid in (1, 2, 3))
    assert processes.processes(object()) == (drawing, *computing)


def test_a_profile_whose_instances_are_not_told_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", lambda _: [1, 1])
    monkeypatch.setattr(mig, "profile_info", lambda _, enum: H100 if enum == 2 else None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetGpuInstances", refusing(pynvml.NVML_ERROR_NOT_SUPPORTED))
    assert instances.listed(object(), "GPU-1") == ()


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_UNKNOWN, pynvml.NVML_ERROR_NOT_SUPPORTED])
def test_two_gpus_whose_way_is_not_told_are_far_from_each_other(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTopologyCommonAncestor", refusing(code))
    alone = links.Links(to_gpus=Counter(), to_switches=0, gbps=0)
    (link,) = links.links([object(), object()], ["a", "b"], [alone, alone])
    assert (link.nvlinks, link.pcie) == (0, PcieLevel.SYSTEM)


def test_a_link_whose_other_end_is_not_told_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetNvLinkState", lambda _, link: int(link < 2))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetNvLinkVersion", lambda *_: pynvml.NVML_NVLINK_VERSION_4_0)
    for name in ("nvmlDeviceGetNvLinkRemoteDeviceType", "nvmlDeviceGetNvLinkRemotePciInfo"):
        monkeypatch.setattr(pynvml, name, refusing(pynvml.NVML_ERROR_NOT_SUPPORTED))
    found = links.read(object())
    assert (found.to_gpus, found.to_switches) == (Counter(), 0)


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_what_is_not_told_now_is_as_it_was(code: int, backend: NvmlBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    before = backend.discover()
    assert before.gpus[0].mig is not None
    assert before.gpus[0].mig.profiles
    assert before.gpus[0].multiprocessors
    monkeypatch.setattr(pynvml, "nvmlDeviceGetGpuInstanceProfileInfo", refusing(code))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetNumGpuCores", refusing(pynvml.NVML_ERROR_NOT_SUPPORTED))
    assert backend.discover() == before


def test_gpus_that_take_no_registration_have_no_events(backend: NvmlBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def register(*arguments: object) -> None:
        asked.append(arguments)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceRegisterEvents", register)
    assert backend.wait_events(0.01) == backend.wait_events(0.01) == ()
    assert len(asked) == len(backend.gpu_uuids()), "each is asked once"
