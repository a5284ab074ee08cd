"""Claims under MPS: the daemon, its limits and folders, through failures, restarts and lost pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from partita_driver.engine.lost_journal.recall import Recalled
from partita_driver.mps import keeper
from partita_driver.mps.keeper import DaemonStarting
from partita_plugins.backends.simulated import GpuLost
from partita_plugins.errors import InvalidInput, Permanent, Retryable
from partita_plugins.model.instances import ComputeMode
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.engine.nodes import Node, claim, gpu_config, new_uid, result
from tests.driver.engine.test_crash import CrashNow
from tests.driver.engine.test_exchanged_gpu import exchange

MPS = gpu_config(sharing="MPS", activeThreadPercentage=25)
CALLS = ["start", "start done", "limit", "limit done"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that does not answer at once does not answer in these tests."""
    monkeypatch.setattr(keeper, "WAIT_SECONDS", 0.0)


def share(node: Node, slot: int, *, share_id: str = "a", memory: str = "10Gi", config: Any = MPS) -> ResourceClaim:
    return claim(
        result(node.shared(slot), consumedCapacity={"memory": memory}, shareID=share_id), config=config, name=share_id
    )


def folders(node: Node) -> list[str]:
    return sorted(path.name for path in (node.root / "mps").glob("*"))


def mode(node: Node, slot: int) -> ComputeMode:
    return node.backend.compute_mode(node.gpu_uuid(slot))


def nothing_left(node: Node) -> bool:
    modes = {node.backend.compute_mode(gpu.uuid) for gpu in node.engine.node.hardware.gpus}
    return (node.daemons.daemons, folders(node), node.journal.state.claims, modes) == (
        {},
        [],
        {},
        {ComputeMode.DEFAULT},
    )


def edits(node: Node, wanted: ResourceClaim) -> Any:
    return node.cdi(wanted.metadata.uid)["devices"][0]["containerEdits"]


def test_a_share_under_mps_has_a_daemon_with_its_limits_and_its_container_is_a_client(node: Node) -> None:
    wanted = share(node, 0)
    uid = wanted.metadata.uid
    node.engine.prepare(wanted)
    assert node.daemons.limits == {uid: (10240, 25)}
    assert node.daemons.daemons[uid].gpu_uuid == node.gpu_uuid(0)
    found = edits(node, wanted)
    assert "CUDA_MPS_PIPE_DIRECTORY=/tmp/nvidia-mps" in found["env"]
    assert {"PARTITA_GPU_0_SHARING=MPS", "PARTITA_GPU_0_MEMORY_MIB=10240"} <= set(found["env"])
    mounts = {one["containerPath"]: Path(one["hostPath"]) for one in found["mounts"]}
    assert set(mounts) == {"/tmp/nvidia-mps", "/dev/shm"}
    assert all(path.is_dir() for path in mounts.values())
    assert mounts["/dev/shm"].stat().st_mode & 0o7777 == 0o1777
    assert mode(node, 0) is ComputeMode.DEFAULT
    node.engine.unprepare(uid)
    assert nothing_left(node)


def test_a_whole_gpu_under_mps_lets_nobody_round_the_daemon_and_has_no_limit_of_memory(node: Node) -> None:
    wanted = claim(node.whole(1), config=gpu_config(sharing="MPS"))
    node.engine.prepare(wanted)
    assert mode(node, 1) is ComputeMode.EXCLUSIVE_PROCESS
    assert node.daemons.limits == {wanted.metadata.uid: (None, None)}
    node.engine.unprepare(wanted.metadata.uid)
    assert nothing_left(node)


def test_daemons_of_several_claims_and_claims_without_one_share_a_gpu_in_turns_of_one_length(node: Node) -> None:
    config = gpu_config(sharing="MPS", timeSlice="Short")
    claims = [share(node, 0, share_id=name, config=config) for name in ("a", "b")]
    plain = share(node, 0, share_id="c", config=None)
    for one in (*claims, plain):
        node.engine.prepare(one)
    assert len(node.daemons.daemons) == 2
    assert node.time_slice(0) == "Short"
    with pytest.raises(Permanent, match="runs with time slice Short"):
        node.engine.prepare(share(node, 0, share_id="d", config=gpu_config(sharing="MPS", timeSlice="Long")))
    for one in (*claims, plain):
        node.engine.unprepare(one.metadata.uid)
    assert node.time_slice(0) == "Default"
    assert nothing_left(node)


def test_a_shared_gpu_that_lets_one_process_compute_is_refused_with_what_to_do(node: Node) -> None:
    node.backend.set_compute_mode(node.gpu_uuid(0), ComputeMode.EXCLUSIVE_PROCESS)
    with pytest.raises(Permanent, match=r"EXCLUSIVE_PROCESS.*nvidia-smi"):
        node.engine.prepare(share(node, 0))
    assert (node.daemons.daemons, node.journal.state.claims) == ({}, {})


@pytest.mark.parametrize(
    ("devices", "config", "says"),
    [
        (lambda node: [node.mig(0, "3g", 4)], MPS, "cannot be used under MPS; ask for MPS on one whole GPU"),
        (lambda node: [node.whole(0), node.whole(1)], MPS, "has 2 devices; make a claim for each"),
        (lambda node: [node.whole(0)], gpu_config(activeThreadPercentage=25), 'without MPS; add "sharing": "MPS"'),
        (lambda node: [node.whole(0)], gpu_config(sharing="MPS", activeThreadPercentage=0), "activeThreadPercentage"),
        (lambda node: [node.whole(0)], gpu_config(sharing="mps"), "sharing"),
    ],
)
def test_what_mps_cannot_do_is_refused_before_anything_is_done(
    node: Node, devices: Any, config: Any, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        node.engine.prepare(claim(*devices(node), config=config))
    assert nothing_left(node)


def test_a_daemon_that_is_still_starting_is_found_further_on_by_the_next_prepare(node: Node) -> None:
    wanted = share(node, 0)
    node.daemons.answering = False
    for _ in range(2):
        with pytest.raises(DaemonStarting, match="ContainerCreating"):
            node.engine.prepare(wanted)
    with pytest.raises(Retryable, match="overlaps"):
        node.engine.prepare(claim(node.whole(0)))
    node.start()
    node.engine.reconcile()
    assert node.cdi_files() == []
    node.daemons.answering = True
    node.engine.prepare(wanted)
    assert (node.daemons.started, node.daemons.limits) == (1, {wanted.metadata.uid: (10240, 25)})
    node.engine.unprepare(wanted.metadata.uid)
    assert nothing_left(node)


def test_a_claim_that_is_gone_while_its_daemon_starts_leaves_nothing(node: Node) -> None:
    node.daemons.answering = False
    with pytest.raises(DaemonStarting):
        node.engine.prepare(share(node, 0))
    node.engine.reconcile_claims(lambda *_: False)
    assert nothing_left(node)


def test_folders_and_gpu_are_kept_until_the_daemon_has_ended(node: Node) -> None:
    wanted = claim(node.whole(0), config=gpu_config(sharing="MPS"))
    node.engine.prepare(wanted)
    node.daemons.ending = True
    with pytest.raises(Retryable, match="still ending"):
        node.engine.unprepare(wanted.metadata.uid)
    assert (folders(node), mode(node, 0)) == ([wanted.metadata.uid], ComputeMode.EXCLUSIVE_PROCESS)
    with pytest.raises(Retryable, match="overlaps"):
        node.engine.prepare(claim(node.whole(0)))
    node.daemons.ending = False
    node.engine.reconcile()
    assert nothing_left(node)


def test_a_lost_gpu_does_not_keep_its_daemon(node: Node) -> None:
    wanted = claim(node.whole(0), config=gpu_config(sharing="MPS"))
    node.engine.prepare(wanted)
    node.backend.faults.plant(GpuLost(gpu_uuid=node.gpu_uuid(0)))
    node.engine.refresh()
    node.engine.unprepare(wanted.metadata.uid)
    assert (node.daemons.daemons, folders(node)) == ({}, [])


def test_the_daemon_of_a_claim_in_use_outlives_the_driver_and_is_run_again_where_it_is_lost(node: Node) -> None:
    wanted = share(node, 0)
    uid = wanted.metadata.uid
    node.engine.prepare(wanted)
    node.start()
    node.engine.prepare(wanted)
    assert node.daemons.started == 1
    node.daemons.lose(uid)
    node.engine.reconcile()
    assert (node.daemons.started, node.daemons.limits) == (2, {uid: (10240, 25)})


def test_a_daemon_that_began_anew_gets_its_limits_again(node: Node) -> None:
    wanted = share(node, 0)
    node.engine.prepare(wanted)
    node.daemons.limits.clear()
    node.engine.reconcile()
    assert node.daemons.limits == {wanted.metadata.uid: (10240, 25)}


def test_daemons_and_folders_that_no_claim_owns_are_removed(node: Node) -> None:
    kept, lost = share(node, 0), share(node, 1)
    for one in (kept, lost):
        node.engine.prepare(one)
    orphan = node.daemons.daemons[lost.metadata.uid]
    node.engine.unprepare(lost.metadata.uid)
    node.daemons.daemons[orphan.claim_uid] = orphan
    (node.root / "mps" / "stranger" / "pipe").mkdir(parents=True)
    node.start()
    assert set(node.daemons.daemons) == {kept.metadata.uid}
    assert folders(node) == [kept.metadata.uid]


def test_a_node_that_never_had_mps_asks_for_daemons_once(node: Node) -> None:
    for _ in range(3):
        node.engine.reconcile()
    assert node.daemons.listed == 1


def test_a_lost_journal_does_not_cost_a_running_claim_its_daemon(node: Node) -> None:
    wanted = share(node, 0, share_id=new_uid())
    node.engine.prepare(wanted)
    node.lose_journal()
    node.start()
    node.engine.reconcile()
    assert (node.daemons.started, set(node.daemons.daemons)) == (1, {wanted.metadata.uid})
    node.engine.unprepare(wanted.metadata.uid)
    node.engine.reconcile()
    assert nothing_left(node)


def test_a_reboot_is_followed_by_the_same_daemon_with_its_limits(node: Node) -> None:
    wanted = claim(node.whole(0), config=MPS)
    node.engine.prepare(wanted)
    node.daemons.limits.clear()
    node.reboot()
    node.engine.prepare(wanted)
    assert (node.daemons.started, mode(node, 0)) == (1, ComputeMode.EXCLUSIVE_PROCESS)
    assert node.daemons.limits == {wanted.metadata.uid: (None, 25)}
    node.engine.unprepare(wanted.metadata.uid)
    assert nothing_left(node)


@pytest.mark.parametrize("call", CALLS)
def test_a_kill_in_prepare_is_mended_by_the_next_process(node: Node, call: str) -> None:
    wanted = claim(node.whole(0), config=MPS)

    def kill(name: str) -> None:
        if name == call:
            raise CrashNow(call)

    node.daemons.on_call = kill
    with pytest.raises(CrashNow):
        node.engine.prepare(wanted)
    node.daemons.on_call = lambda _name: None
    node.start()
    assert nothing_left(node)
    node.engine.prepare(wanted)
    node.engine.unprepare(wanted.metadata.uid)
    assert nothing_left(node)


@pytest.mark.parametrize("call", ["stop", "stop done"])
def test_a_kill_in_unprepare_is_finished_by_the_next_process(node: Node, call: str) -> None:
    wanted = claim(node.whole(0), config=MPS)
    node.engine.prepare(wanted)

    def kill(name: str) -> None:
        if name == call:
            raise CrashNow(call)

    node.daemons.on_call = kill
    with pytest.raises(CrashNow):
        node.engine.unprepare(wanted.metadata.uid)
    node.daemons.on_call = lambda _name: None
    node.start()
    assert nothing_left(node)


def test_a_gpu_that_was_exchanged_leaves_no_daemon_behind(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = claim(node.whole(0), config=MPS)
    node.engine.prepare(wanted)
    exchange(node, node.gpu_uuid(0), monkeypatch)
    node.engine.unprepare(wanted.metadata.uid)
    assert nothing_left(node)


def test_while_the_api_server_is_not_heard_of_a_lost_journal_no_daemon_is_ended(node: Node) -> None:
    wanted = share(node, 0)
    node.engine.prepare(wanted)

    def silent() -> Recalled:
        raise Retryable("no answer")

    node.lose_journal()
    (node.root / "cdi" / node.cdi_files()[0]).unlink()
    node.recall = silent
    node.start()
    assert set(node.daemons.daemons) == {wanted.metadata.uid}
    node.recall = Recalled
    node.start()
    node.engine.confirm()
    node.engine.reconcile()
    assert nothing_left(node)
