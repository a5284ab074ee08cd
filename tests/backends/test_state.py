"""Hardware outlives processes: state on disk, across backends, processes, kills and reboots."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from partita_plugins.backends.files import write_atomically
from partita_plugins.backends.simulated import Delays, open_backend, open_existing
from partita_plugins.backends.simulated.files import locked
from partita_plugins.errors import BackendError, InvalidInput, NvmlCode
from partita_plugins.model.mig import Placement
from tests.backends.conftest import Opener

RIVAL = """
import sys
from pathlib import Path
from partita_plugins.backends.simulated import open_existing
from partita_plugins.errors import BackendError
from partita_plugins.model.mig import Placement
backend = open_existing(Path(sys.argv[1]), words=4096)
for start in range(7):
    try:
        backend.create_gpu_instance(sys.argv[2], 19, Placement(start, 1))
        print(start)
    except BackendError as error:
        assert error.code.name == "INSUFFICIENT_RESOURCES", error
"""


def test_a_restarted_process_finds_what_was_made(opened: Opener) -> None:
    first = opened()
    gpu = first.discover().gpus[0]
    first.set_mig_mode(gpu.uuid, enabled=True)
    made = first.create_gpu_instance(gpu.uuid, 9, Placement(4, 4))
    first.create_compute_instance(gpu.uuid, made.gpu_instance_id)
    second = opened()
    assert second.discover() == first.discover()
    assert second.gpu_instances(gpu.uuid) == first.gpu_instances(gpu.uuid)
    assert second.gpu_instances(gpu.uuid)[0].compute_instances[0].mig_uuid.startswith("MIG-")


def test_a_folder_keeps_its_machine(opened: Opener, state_dir: Path) -> None:
    opened("hgx-h100")
    with pytest.raises(InvalidInput, match="holds 'hgx-h100'"):
        opened("a30-x4")
    assert open_existing(state_dir).discover() == opened("hgx-h100").discover()
    with pytest.raises(InvalidInput, match="holds no simulated machine"):
        open_existing(state_dir / "dev")


def test_two_nodes_of_one_kind_share_no_gpu(tmp_path: Path) -> None:
    uuids = [
        gpu.uuid
        for node in ("node-a", "node-b")
        for gpu in open_backend(tmp_path / node, "dgx-1v", seed=node, words=8).discover().gpus
    ]
    assert len(set(uuids)) == 16


def test_processes_that_race_for_slices_each_get_different_ones(opened: Opener, state_dir: Path) -> None:
    backend = opened()
    gpu_uuid = backend.discover().gpus[0].uuid
    backend.set_mig_mode(gpu_uuid, enabled=True)
    rivals = [
        subprocess.Popen([sys.executable, "-c", RIVAL, str(state_dir), gpu_uuid], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    won = [line for rival in rivals for line in rival.communicate(timeout=60)[0].split()]
    assert [rival.returncode for rival in rivals] == [0, 0, 0]
    assert sorted(won) == ["0", "1", "2", "3", "4", "5", "6"]
    assert len({one.gpu_instance_id for one in backend.gpu_instances(gpu_uuid)}) == 7


def test_delays_of_different_gpus_go_side_by_side(opened: Opener) -> None:
    backend = opened()
    gpus = backend.discover().gpus
    for gpu in gpus:
        backend.set_mig_mode(gpu.uuid, enabled=True)
    slow = opened(delays=Delays(create_seconds=0.5))
    threads = [threading.Thread(target=slow.create_gpu_instance, args=(gpu.uuid, 9, Placement(0, 4))) for gpu in gpus]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    took = time.monotonic() - began
    assert 0.5 <= took < 0.5 * len(gpus)
    assert all(len(backend.gpu_instances(gpu.uuid)) == 1 for gpu in gpus)


def test_a_failed_write_leaves_the_old_bytes_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gpu.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_record_says_which_file_to_remove(opened: Opener, state_dir: Path) -> None:
    backend = opened()
    gpu_uuid = backend.discover().gpus[0].uuid
    (state_dir / "gpus" / f"{gpu_uuid}.json").write_text('{"mig_enabled": 7')
    with pytest.raises(BackendError, match=f"remove {gpu_uuid}.json"):
        backend.gpu_instances(gpu_uuid)


def test_a_lock_that_is_never_given_back_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita_plugins.backends.simulated.files.LOCK_SECONDS_MAX", 0.05)
    path = tmp_path / "lock"
    with locked(path), pytest.raises(BackendError) as caught, locked(path):
        pass
    assert caught.value.code is NvmlCode.TIMEOUT


def test_ampere_switches_its_mode_at_a_reset_and_keeps_it_over_a_reboot(opened: Opener) -> None:
    backend = opened("dgx-a100-80")
    gpu_uuid = backend.discover().gpus[0].uuid
    backend.start_client(gpu_uuid, "dcgm")
    with pytest.raises(BackendError, match="IN_USE"):
        backend.set_mig_mode(gpu_uuid, enabled=True)
    with pytest.raises(BackendError, match="IN_USE"):
        backend.reset(gpu_uuid)
    backend.stop_client(gpu_uuid, "dcgm")
    backend.reset(gpu_uuid)
    backend.create_gpu_instance(gpu_uuid, 9, Placement(0, 4))
    backend.reboot()
    mig = backend.discover().gpus[0].mig
    assert mig is not None
    assert (mig.enabled, backend.gpu_instances(gpu_uuid)) == (True, ())


def test_hopper_switches_at_once_unless_in_use_and_forgets_at_a_reboot(opened: Opener) -> None:
    backend = opened("hgx-h100")
    gpu_uuid = backend.discover().gpus[0].uuid
    backend.start_client(gpu_uuid, "dcgm")
    with pytest.raises(BackendError, match="IN_USE"):
        backend.set_mig_mode(gpu_uuid, enabled=True)
    backend.stop_client(gpu_uuid, "dcgm")
    backend.set_mig_mode(gpu_uuid, enabled=True)
    backend.create_gpu_instance(gpu_uuid, 9, Placement(0, 4))
    backend.reboot()
    mig = opened().discover().gpus[0].mig
    assert mig is not None
    assert not mig.enabled


def test_a_time_slice_is_remembered_and_not_for_mig(opened: Opener) -> None:
    backend = opened()
    gpu_uuid = backend.discover().gpus[0].uuid
    backend.set_time_slice(gpu_uuid, "Long")
    assert opened().machine.files.load(gpu_uuid).time_slice == "Long"
    backend.set_mig_mode(gpu_uuid, enabled=True)
    with pytest.raises(BackendError, match="NOT_SUPPORTED"):
        backend.set_time_slice(gpu_uuid, "Short")
