"""Device nodes: real ones where the process may make them, the same numbers where it may not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from partita_plugins.backends.simulated import GpuLost, HungCall, nodes
from partita_plugins.model.mig import Placement
from tests.backends.conftest import Opener


def test_nodes_are_character_devices_or_stand_ins_with_the_same_numbers(opened: Opener, state_dir: Path) -> None:
    backend = opened()
    gpu = backend.discover().gpus[5]
    for node in backend.device_nodes(gpu.uuid, None):
        host = Path(node.host_path)
        assert host.is_relative_to(state_dir / "dev")
        assert host.name == Path(node.path).name
        status = host.stat()
        if stat.S_ISCHR(status.st_mode):
            assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == (node.major, node.minor)
            assert stat.S_IMODE(status.st_mode) == node.mode
        else:
            assert stat.S_ISREG(status.st_mode)


def test_without_the_right_to_make_devices_plain_files_stand_in(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.mknod", refused)
    backend = opened()
    found = backend.device_nodes(backend.discover().gpus[3].uuid, None)
    assert [(node.path, node.major, node.minor) for node in found] == [
        ("/dev/nvidia3", 195, 3),
        ("/dev/nvidiactl", 195, 255),
        ("/dev/nvidia-uvm", 511, 0),
        ("/dev/nvidia-uvm-tools", 511, 1),
    ]
    assert all(Path(node.host_path).is_file() for node in found)


def test_a_stand_in_gives_way_to_a_device_as_soon_as_one_can_be_made(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was first used without the right: mknod is played by a file that holds the numbers."""

    def played(path: Path, mode: int, device: int) -> None:
        assert stat.S_ISCHR(mode)
        Path(path).write_text(f"{os.major(device)}:{os.minor(device)}")

    backend = opened()
    gpu_uuid = backend.discover().gpus[3].uuid
    backend.machine.devices.clear()
    (path := Path(backend.machine.devices.of(3, None)[0].host_path)).unlink()
    path.touch()
    monkeypatch.setattr("os.mknod", played)
    backend.device_nodes(gpu_uuid, None)
    assert path.read_text() == "195:3"
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "nvidia-uvm",
        "nvidia-uvm-tools",
        "nvidia3",
        "nvidiactl",
    ]


def test_partitions_of_all_gpus_have_nodes_of_their_own(opened: Opener) -> None:
    """Every (GPU, GPU instance, compute instance) of a machine has a minor that no other has."""
    minors = [
        minor
        for gpu in range(8)
        for instance in range(15)
        for minor in (
            nodes.gpu_cap_minor(gpu, instance),
            *(nodes.compute_cap_minor(gpu, instance, compute) for compute in range(8)),
        )
    ]
    assert len(set(minors)) == len(minors)
    assert (min(minors), minors[1]) == (3, 4)


def test_caps_are_read_only_and_gone_after_a_reboot(opened: Opener, state_dir: Path) -> None:
    backend = opened()
    gpu_uuid = backend.discover().gpus[0].uuid
    backend.set_mig_mode(gpu_uuid, enabled=True)
    made = backend.create_gpu_instance(gpu_uuid, 9, Placement(4, 4))
    backend.create_compute_instance(gpu_uuid, made.gpu_instance_id)
    found = backend.device_nodes(gpu_uuid, backend.gpu_instances(gpu_uuid)[0])
    assert [node.path for node in found[-2:]] == ["/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia-caps/nvidia-cap13"]
    assert {node.mode for node in found[-2:]} == {0o444}
    backend.reboot()
    assert not list((state_dir / "dev").glob("**/*"))


def test_shuffled_minors_follow_no_order_and_move(opened: Opener) -> None:
    backend = opened(shuffle=True)
    gpus = backend.discover().gpus
    minors = [gpu.minor for gpu in gpus]
    assert sorted(minors) == list(range(8))
    assert minors != list(range(8))
    backend.set_mig_mode(gpus[0].uuid, enabled=True)
    after = [gpu.minor for gpu in backend.discover().gpus]
    assert after[0] != minors[0]
    assert after[1:] == minors[1:]
    assert len(set(after)) == 8
    assert backend.device_nodes(gpus[0].uuid, None)[0].path == f"/dev/nvidia{after[0]}"


@pytest.mark.parametrize(("machine", "caps"), [("a30-x4", ["/dev/nvidia-caps/nvidia-cap2"]), ("l40s-x8", [])])
def test_a_monitor_sees_lost_and_hung_gpus_and_asks_none(opened: Opener, machine: str, caps: list[str]) -> None:
    backend = opened(machine)
    uuids = backend.gpu_uuids()
    backend.faults.plant(GpuLost(gpu_uuid=uuids[0]))
    backend.faults.plant(HungCall(gpu_uuid=uuids[1], call="*"))
    paths = [node.path for node in backend.monitor_nodes()]
    assert {f"/dev/nvidia{minor}" for minor in range(len(uuids))} | {"/dev/nvidiactl"} <= set(paths)
    assert [path for path in paths if "nvidia-caps" in path] == caps
