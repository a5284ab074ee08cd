"""The node's monitor: every GPU to look at, whoever holds it and however it is, for claims with admin access."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from partita_driver.engine.lost_journal.recall import Recalled
from partita_driver.journal.copies import COPIES
from partita_driver.journal.format import decode_journal
from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import GpuLost, HungCall, Xid
from partita_plugins.errors import Permanent, Retryable
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, ResourceClaim
from tests.driver.engine.nodes import QUICK, Node, claim, result
from tests.waiting import WAIT_SECONDS

GPUS = {f"/dev/nvidia{minor}" for minor in range(8)}


def monitoring(request: str = "gpu") -> ResourceClaim:
    return claim(result("monitor", request, adminAccess=True))


def paths(node: Node, uid: str) -> set[str]:
    (device,) = node.cdi(uid)["devices"]
    return {entry["path"] for entry in device["containerEdits"]["deviceNodes"]}


def test_a_monitor_sees_all_gpus_while_others_hold_them_and_no_partition(node: Node) -> None:
    node.engine.prepare(claim(node.mig(0, "3g", 4)))
    node.engine.prepare(claim(node.whole(1)))
    before = node.placements()
    wanted = monitoring()
    (device,) = node.engine.prepare(wanted)
    assert paths(node, wanted.metadata.uid) == {
        *GPUS,
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-uvm-tools",
        "/dev/nvidia-caps/nvidia-cap2",
    }
    assert device.uuid.split(",") == [node.gpu_uuid(slot) for slot in range(8)]
    assert device.validation is None
    node.engine.unprepare(wanted.metadata.uid)
    assert node.placements() == before
    assert len(node.engine.prepared()) == 2


def test_the_program_is_told_what_it_looks_at_and_of_no_memory(node: Node) -> None:
    wanted = monitoring(request="all")
    node.engine.prepare(wanted)
    (device,) = node.cdi(wanted.metadata.uid)["devices"]
    told = dict(line.split("=", 1) for line in device["containerEdits"]["env"])
    assert told["PARTITA_ALL_0_KIND"] == told["PARTITA_ALL_0_DEVICE"] == "monitor"
    assert len(told["PARTITA_ALL_0_PCI_BUS_ID"].split(",")) == 8
    assert told["PARTITA_ALL_0_PRODUCT"] == node.engine.node.gpus[0].product
    assert "PARTITA_ALL_0_MEMORY_MIB" not in told


def test_without_admin_access_it_is_refused_with_what_to_write(node: Node) -> None:
    wanted = claim("monitor")
    with pytest.raises(Permanent, match=r"no admin access.*adminAccess: true.*admin-access"):
        node.engine.prepare(wanted)
    assert node.cdi_files() == []
    assert node.journal.state.claims == {}


def test_whoever_watches_stands_in_nobodys_way(node: Node) -> None:
    first, second = monitoring(), monitoring()
    node.engine.prepare(first)
    node.engine.prepare(second)
    node.engine.prepare(claim(node.whole(0)))
    node.engine.prepare(claim(node.mig(1, "3g", 4)))
    node.engine.prepare(claim("group-2-4-5"))
    assert len(node.engine.prepared()) == 5


def test_lost_hung_and_quarantined_gpus_are_seen_and_none_is_asked(node: Node) -> None:
    node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(0)))
    node.backend.faults.plant(Xid(gpu_uuid=node.gpu_uuid(1), xid=79))
    node.engine.refresh()
    node.engine.check_health()
    node.backend.faults.plant(HungCall(gpu_uuid=node.backend.gpu_uuids()[2], call="*"))
    assert node.engine.faults()
    wanted = monitoring()
    node.engine.prepare(wanted)
    assert paths(node, wanted.metadata.uid) >= GPUS
    node.engine.unprepare(wanted.metadata.uid)
    assert not node.engine.hung()


def test_a_node_without_any_gpu_has_nothing_to_look_at(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.backend, "monitor_nodes", lambda: ())
    wanted = monitoring()
    with pytest.raises(Retryable, match="no device node"):
        node.engine.prepare(wanted)
    assert node.journal.state.claims == {}


@pytest.mark.parametrize("restart", [Node.start, Node.reboot])
def test_it_is_handed_out_again_after_a_restart_and_a_reboot(node: Node, restart: object) -> None:
    wanted = monitoring()
    first = node.engine.prepare(wanted)
    restart(node)  # type: ignore[operator]
    assert node.engine.prepare(wanted) == first
    assert paths(node, wanted.metadata.uid) >= GPUS


def test_it_is_found_again_by_its_cdi_file_and_still_stands_in_nobodys_way(node: Node) -> None:
    wanted = monitoring()
    node.engine.prepare(wanted)
    node.lose_journal()
    node.start()
    (device,) = node.journal.state.claims[wanted.metadata.uid].devices
    assert (device.device, device.admin, device.steps) == ("monitor", True, ())
    node.engine.prepare(claim(node.whole(0)))
    node.engine.prepare(wanted)
    node.engine.unprepare(wanted.metadata.uid)
    assert node.cdi_files() != []
    assert wanted.metadata.uid not in node.journal.state.claims


def test_it_is_found_again_by_the_api_and_gets_its_file_back(node: Node) -> None:
    wanted = monitoring()
    node.engine.prepare(wanted)
    told = AllocatedDeviceStatus(driver="gpu.partita.dev", pool="gpu.partita.dev/node-a", device="monitor")
    wanted.status.devices.append(told)
    for path in (node.root / "cdi").iterdir():
        path.unlink()
    node.lose_journal()
    node.recall = lambda: Recalled(claims=(wanted,))
    node.start()
    node.engine.confirm()
    node.engine.reconcile()
    assert node.engine.claims()[wanted.metadata.uid].state is ClaimState.PREPARED
    assert paths(node, wanted.metadata.uid) >= GPUS


def test_its_file_follows_the_gpus(tmp_path: Path) -> None:
    """A container that starts again reads the file: a mode switch may have given a GPU another minor number."""
    node = Node(tmp_path, shuffle_minors=True)
    wanted = monitoring()
    node.engine.prepare(wanted)
    minor = node.engine.node.gpus[0].minor
    node.engine.prepare(claim(node.mig(0, "3g", 4)))
    moved = node.engine.node.gpus[0].minor
    assert moved != minor
    node.engine.reconcile()
    seen = paths(node, wanted.metadata.uid)
    assert f"/dev/nvidia{moved}" in seen
    assert f"/dev/nvidia{minor}" not in seen


def test_the_journal_is_of_the_newer_version_only_while_a_monitor_is_in_it(node: Node) -> None:
    def versions() -> set[bytes]:
        return {(node.root / "journal" / copy).read_bytes().split(b" ", 2)[1] for copy in COPIES}

    node.engine.prepare(claim(node.whole(0)))
    assert versions() == {b"1"}
    wanted = monitoring()
    node.engine.prepare(wanted)
    assert versions() == {b"2"}
    copy = (node.root / "journal" / COPIES[0]).read_bytes()
    assert wanted.metadata.uid in decode_journal(copy)[1].claims
    node.engine.unprepare(wanted.metadata.uid)
    assert versions() == {b"1"}


def test_a_look_at_the_device_nodes_of_all_that_hangs_is_no_gpu_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, answers = Node(tmp_path, deadlines=QUICK), threading.Event()
    with monkeypatch.context() as hanging:
        hanging.setattr(node.backend, "monitor_nodes", lambda: answers.wait(WAIT_SECONDS))
        with pytest.raises(Retryable, match="did not come back"):
            node.engine.prepare(monitoring())
    answers.set()
    assert (node.engine.faults(), node.told) == ((), [])
