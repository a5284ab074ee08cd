"""Choices among what NVML lists, where real boards list more than the C library does."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from partita_plugins.backends.nvml import instances, mig

COMPUTE_PROFILES = {0: (0, 1), 1: (1, 2), 2: (2, 3), 3: (3, 4), 7: (7, 1)}
"""Of a 3g instance by enum: id and slices. The fourth is wider than the instance, the last a second one-slice kind."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the compute profiles that were made."""
    ids: list[int] = []

    def compute_profile(_instance: object, enum: int, _engines: int, version: int) -> SimpleNamespace:
        if enum not in COMPUTE_PROFILES:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        profile_id, slices = COMPUTE_PROFILES[enum]
        return SimpleNamespace(id=profile_id, sliceCount=slices, instanceCount=1)

    for name, stand_in in {
        "nvmlDeviceGetMigMode": lambda _: [1, 1],
        "nvmlDeviceGetGpuInstanceById": lambda _, gpu_instance_id: gpu_instance_id,
        "nvmlGpuInstanceGetInfo": lambda _: SimpleNamespace(profileId=9),
        "nvmlGpuInstanceGetComputeInstanceProfileInfo": compute_profile,
        "nvmlGpuInstanceCreateComputeInstance": lambda _, profile_id: ids.append(profile_id),
        "nvmlComputeInstanceGetInfo_v2": lambda _: SimpleNamespace(id=0, device="MIG-1"),
        "nvmlDeviceGetUUID": lambda handle: handle,
    }.items():
        monkeypatch.setattr(pynvml, name, stand_in)
    three = SimpleNamespace(id=9, sliceCount=3)
    monkeypatch.setattr(mig, "profile_info", lambda _, enum: three if enum == 2 else None)
    return ids


def test_a_compute_instance_takes_all_of_its_gpu_instance_and_no_more(made: list[int]) -> None:
    instances.create_compute(object(), 1)
    assert made == [2]
