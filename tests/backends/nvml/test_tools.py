"""nvidia-smi is called with argument lists, and its failures are errors of the port."""

from __future__ import annotations

from pathlib import Path

import pytest

from partita_plugins.backends.nvml.tools import NvidiaSmi
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.instances import ComputeMode
from partita_plugins.testing.contracts.answers import refused

GPU = "GPU-aaaaaaaa-0000-4000-8000-000000000000"


def program(root: Path, script: str) -> NvidiaSmi:
    path = root / "usr/bin/nvidia-smi"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return NvidiaSmi([root], deadline_seconds=20)


def test_it_is_called_as_nvidias_own_driver_does(tmp_path: Path) -> None:
    smi = program(tmp_path, f'echo "$@" >> {tmp_path}/calls')
    smi.set_time_slice(GPU, "Long")
    smi.set_compute_mode(GPU, ComputeMode.EXCLUSIVE_PROCESS)
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"compute-policy -i {GPU} --set-timeslice 3",
        f"-i {GPU} -c EXCLUSIVE_PROCESS",
    ]


def test_its_exit_code_and_last_words_are_the_error(tmp_path: Path) -> None:
    smi = program(tmp_path, "echo something; echo 'Insufficient Permissions'; exit 4")
    with pytest.raises(BackendError, match="Insufficient Permissions") as caught:
        smi.set_time_slice(GPU, "Short")
    assert caught.value.code is NvmlCode.NO_PERMISSION


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    program(tmp_path, "exec sleep 60")
    with refused(NvmlCode.TIMEOUT):
        NvidiaSmi([tmp_path], deadline_seconds=0.1).set_time_slice(GPU, "Short")


def test_a_node_without_it_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="install NVIDIA's driver"):
        NvidiaSmi([tmp_path]).set_time_slice(GPU, "Short")


def test_an_unknown_time_slice_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with refused(NvmlCode.INVALID_ARGUMENT):
        NvidiaSmi([tmp_path]).set_time_slice(GPU, "Forever")
