"""The files of a node around the C library, its nvidia-smi, and many processes on one machine."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from partita_plugins.backends.simulated import open_existing
from partita_plugins.errors import InvalidInput
from partita_plugins.testing.nvml import Node, installed
from partita_plugins.testing.nvml.__main__ import main


@pytest.fixture
def laid_out(tmp_path: Path) -> Node:
    return installed(tmp_path / "state", "hgx-h100", seed="node-a")


def test_every_gpu_is_in_proc_and_sys(laid_out: Node) -> None:
    for gpu in laid_out.machine.hardware.gpus:
        said = (laid_out.root / f"proc/driver/nvidia/gpus/{gpu.pci_bus_id}/information").read_text()
        assert re.search(rf"^GPU UUID:\s+{gpu.uuid}$", said, re.MULTILINE)
        assert re.search(rf"^Device Minor:\s+{gpu.minor}$", said, re.MULTILINE)
        device = laid_out.root / "sys/bus/pci/devices" / gpu.pci_bus_id
        assert (device / "numa_node").read_text() == f"{gpu.numa_node}\n"
        assert gpu.pcie_root in device.resolve().parts


def test_every_instance_there_can_be_has_its_capability_number(laid_out: Node) -> None:
    backend = open_existing(laid_out.state)
    gpu = laid_out.machine.hardware.gpus[3]
    assert gpu.mig is not None
    backend.set_mig_mode(gpu.uuid, enabled=True)
    profile = gpu.mig.profiles[0]
    made = backend.create_gpu_instance(gpu.uuid, profile.profile_id, profile.placements[0])
    backend.create_compute_instance(gpu.uuid, made.gpu_instance_id)
    (instance,) = backend.gpu_instances(gpu.uuid)
    lines = (laid_out.root / "proc/driver/nvidia-caps/mig-minors").read_text().splitlines()
    minors = dict(line.rsplit(" ", 1) for line in lines)
    of_instance = f"gpu{gpu.minor}/gi{made.gpu_instance_id}"
    told = {f"/dev/nvidia-caps/nvidia-cap{minors[f'{of_instance}/{rest}']}" for rest in ("access", "ci0/access")}
    assert told == {node.path for node in backend.device_nodes(gpu.uuid, instance) if "caps" in node.path}


def test_a_reboot_changes_the_boot_id_and_nothing_else_does(laid_out: Node) -> None:
    path = laid_out.root / "proc/sys/kernel/random/boot_id"
    before = path.read_text()
    laid_out.machine.reset(laid_out.machine.hardware.gpus[0].uuid)
    installed(laid_out.state, "hgx-h100", seed="node-a")
    assert path.read_text() == before
    laid_out.machine.reboot()
    assert path.read_text() != before


def test_libraries_carry_the_drivers_version_and_lead_to_files(laid_out: Node) -> None:
    folder, version = laid_out.library.parent, laid_out.machine.hardware.driver_version
    assert {path.name for path in folder.glob(f"*.so.{version}")} >= {
        f"libnvidia-ml.so.{version}",
        f"libcuda.so.{version}",
    }
    assert laid_out.library.resolve().name == f"libnvidia-ml.so.{version}"
    assert all(path.read_bytes()[:4] == b"\x7fELF" for path in folder.iterdir())


def test_device_nodes_are_there(laid_out: Node) -> None:
    names = {path.name for path in (laid_out.root / "dev").iterdir()}
    assert names >= {"nvidiactl", "nvidia-uvm", "nvidia0", "nvidia7"}
    if os.geteuid() == 0:
        assert stat.S_ISCHR((laid_out.root / "dev/nvidia0").stat().st_mode)


def test_laying_out_again_keeps_the_state_and_another_machine_is_refused(laid_out: Node) -> None:
    backend = open_existing(laid_out.state)
    backend.set_mig_mode(backend.gpu_uuids()[0], enabled=True)
    again = installed(laid_out.state, "hgx-h100", seed="node-a")
    assert again.machine.discover().gpus[0].mig == backend.discover().gpus[0].mig
    with pytest.raises(InvalidInput, match="holds 'hgx-h100'"):
        installed(laid_out.state, "a30-x4")


def test_the_command_line_prints_an_environment_for_a_shell(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["install", "--state", str(tmp_path / "a b"), "--machine", "a30-x4"])
    assert done.exit_code == 0
    assert f"export PARTITA_SIMULATED_DIR='{tmp_path / 'a b'}'\n" in done.output


class TestNvidiaSmi:
    def run(self, node: Node, *arguments: str) -> tuple[int, str]:
        """Exit code and output."""
        program = node.root / "usr/bin/nvidia-smi"
        environment = {**os.environ, "PARTITA_SIMULATED_DIR": str(node.state)}
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        return done.returncode, done.stdout

    def test_it_lists_gpus_and_mig_devices(self, laid_out: Node) -> None:
        backend = open_existing(laid_out.state)
        gpu = laid_out.machine.hardware.gpus[0]
        assert gpu.mig is not None
        backend.set_mig_mode(gpu.uuid, enabled=True)
        made = backend.create_gpu_instance(gpu.uuid, 9, gpu.mig.profiles[4].placements[1])
        mig_uuid = backend.create_compute_instance(gpu.uuid, made.gpu_instance_id).mig_uuid
        code, said = self.run(laid_out, "-L")
        assert code == 0
        assert said.splitlines()[:2] == [
            f"GPU 0: {gpu.product} (UUID: {gpu.uuid})",
            f"  MIG 3g.40gb Device 4: (UUID: {mig_uuid})",
        ]
        assert len(said.splitlines()) == 9

    def test_it_answers_queries(self, laid_out: Node) -> None:
        gpu = laid_out.machine.hardware.gpus[2]
        fields = "index,uuid,pci.bus_id,memory.total,compute_cap,mig.mode.current"
        code, said = self.run(laid_out, f"--query-gpu={fields}", "--format=csv,noheader,nounits", "-i", gpu.uuid)
        assert (code, said) == (0, f"2, {gpu.uuid}, 0000{gpu.pci_bus_id.upper()}, {gpu.memory_mib}, 9.0, Disabled\n")
        code, said = self.run(laid_out, "--query-gpu=name,memory.total", "--format=csv", "-i", "0")
        assert said.splitlines() == ["name, memory.total [MiB]", f"{gpu.product}, {gpu.memory_mib} MiB"]

    def test_it_sets_time_slice_and_compute_mode(self, laid_out: Node) -> None:
        backend = open_existing(laid_out.state)
        uuid = backend.gpu_uuids()[1]
        assert self.run(laid_out, "compute-policy", "-i", uuid, "--set-timeslice", "2") == (0, "")
        assert self.run(laid_out, "-i", uuid, "-c", "EXCLUSIVE_PROCESS") == (0, "")
        record = laid_out.machine.files.load(uuid)
        assert (record.time_slice, record.compute_mode) == ("Medium", "ExclusiveProcess")
        assert laid_out.machine.files.load(backend.gpu_uuids()[0]).time_slice == "Default"

    def test_its_exit_codes_are_nvmls(self, laid_out: Node) -> None:
        backend = open_existing(laid_out.state)
        uuid = backend.gpu_uuids()[0]
        backend.set_mig_mode(uuid, enabled=True)
        assert self.run(laid_out, "-i", uuid, "-c", "PROHIBITED") == (3, "Not Supported\n")
        assert self.run(laid_out, "compute-policy", "-i", "GPU-none", "--set-timeslice", "1") == (6, "Not Found\n")
        assert self.run(laid_out, "--query-gpu=mood", "--format=csv")[0] == 2
        code, said = self.run(laid_out, "--burn")
        assert code == 2
        assert "--burn" in said


RACER = """
import ctypes, pynvml
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
made = []
for start in range(7):
    for _ in range(2):
        place = pynvml.c_nvmlGpuInstancePlacement_t(start, 1)
        try:
            instance = pynvml.nvmlDeviceCreateGpuInstanceWithPlacement(gpu, 19, ctypes.byref(place))
        except pynvml.NVMLError_InsufficientResources:
            continue
        compute = pynvml.nvmlGpuInstanceCreateComputeInstance(instance, 0)
        made.append(pynvml.nvmlDeviceGetUUID(pynvml.nvmlComputeInstanceGetInfo_v2(compute).device))
print(*made)
"""


def test_processes_that_race_for_one_gpu_lose_nothing(laid_out: Node) -> None:
    backend = open_existing(laid_out.state)
    uuid = backend.gpu_uuids()[0]
    backend.set_mig_mode(uuid, enabled=True)
    environment = {**os.environ, **laid_out.environment}
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [mig_uuid for racer in racers for mig_uuid in racer.communicate(timeout=60)[0].split()]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    there = [one.compute_instances[0].mig_uuid for one in backend.gpu_instances(uuid)]
    assert sorted(told) == sorted(there)
    assert len(set(there)) == 7
