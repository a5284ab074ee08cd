"""Any order of claims, crashes, restarts and reboots on four GPUs: no partition without owner, none with two."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from partita_driver.lifecycle import ClaimState
from partita_plugins.errors import PartitaError
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.engine.nodes import Node, claim, result
from tests.driver.engine.test_crash import PREPARE_POINTS, UNPREPARE_POINTS, CrashNow, crash_at

SLOTS = st.integers(0, 3)
KINDS = st.sampled_from(["whole", "shared", "1g-0", "1g-2", "2g-0", "2g-2", "monitor"])


class FourGpus(RuleBasedStateMachine):
    """Four A30s, whose MIG mode is on by an administrator on the first two: it cannot be switched without a reset."""

    machine = "a30-x4"
    pinned: tuple[int, ...] = (0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.node = Node(self.root, machine=self.machine, validate=False)
        for slot in self.pinned:
            self.node.backend.machine.switch_mig(self.node.gpu_uuid(slot), enabled=True)
        self.node.start()
        self.held: dict[str, ResourceClaim] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def _wanted(self, slot: int, kind: str) -> ResourceClaim:
        if kind == "whole":
            return claim(self.node.whole(slot))
        if kind == "shared":
            return claim(result(self.node.shared(slot), shareID="s"))
        if kind == "monitor":
            return claim(result("monitor", adminAccess=True))
        shape, start = kind.split("-")
        return claim(self.node.mig(slot, shape, int(start)))

    @rule(slot=SLOTS, kind=KINDS)
    def prepare(self, slot: int, kind: str) -> None:
        wanted = self._wanted(slot, kind)
        try:
            self.node.engine.prepare(wanted)
        except PartitaError:
            assert wanted.metadata.uid not in self.node.engine.claims()
            return
        self.held[wanted.metadata.uid] = wanted

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def unprepare(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.held)))
        self.node.engine.unprepare(uid)
        del self.held[uid]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        self.node.engine.prepare(self.held[data.draw(st.sampled_from(sorted(self.held)))])

    @rule(slot=SLOTS, kind=KINDS, point=st.sampled_from(PREPARE_POINTS))
    def crash_in_prepare(self, slot: int, kind: str, point: str) -> None:
        wanted = self._wanted(slot, kind)
        try:
            with crash_at(point):
                self.node.engine.prepare(wanted)
        except CrashNow:
            self.node.start()
        except PartitaError:
            return
        if wanted.metadata.uid in self.node.engine.prepared():
            self.held[wanted.metadata.uid] = wanted

    @precondition(lambda self: self.held)
    @rule(data=st.data(), point=st.sampled_from(UNPREPARE_POINTS))
    def crash_in_unprepare(self, data: st.DataObject, point: str) -> None:
        uid = data.draw(st.sampled_from(sorted(self.held)))
        del self.held[uid]
        try:
            with crash_at(point):
                self.node.engine.unprepare(uid)
        except CrashNow:
            self.node.start()
            self.node.engine.unprepare(uid)

    @rule()
    def reboot(self) -> None:
        self.node.reboot()
        for wanted in self.held.values():
            self.node.engine.prepare(wanted)

    @invariant()
    def every_partition_has_one_owner(self) -> None:
        prepared = self.node.engine.prepared()
        assert sorted(prepared) == sorted(self.held)
        assert all(one.state is ClaimState.PREPARED for one in self.node.engine.claims().values())
        devices = [device.device for held in prepared.values() for device in held.devices]
        partitions = sorted(name for name in devices if "-mig-" in name)
        found = sorted(
            f"{self.node.whole(slot)}-mig-{one.placement.size}g-{one.profile_id}-{one.placement.start}"
            for slot, instances in self.node.instances().items()
            for one in instances
            if one.compute_instances
        )
        assert partitions == found
        assert len(set(partitions)) == len(partitions)

    @invariant()
    def every_prepared_claim_has_its_cdi_file_and_nobody_else(self) -> None:
        assert sorted(self.node.engine.prepared()) == sorted(
            name.partition("_")[2].removesuffix(".json") for name in self.node.cdi_files() if not name.startswith(".")
        )


class FourOfEight(FourGpus):
    """Half of eight H100s, which change between whole, shared and MIG as claims come and go."""

    machine = "hgx-h100"
    pinned = ()

    @invariant()
    def mig_mode_is_on_only_where_a_partition_is(self) -> None:
        partitioned = {slot for slot, instances in self.node.instances().items() if instances}
        assert {slot for slot in range(8) if self.node.mig_enabled(slot)} == partitioned


STEPS = settings(max_examples=20, stateful_step_count=20, suppress_health_check=list(HealthCheck))
FourGpus.TestCase.settings = STEPS
FourOfEight.TestCase.settings = STEPS
TestFourGpus = FourGpus.TestCase
TestFourOfEight = FourOfEight.TestCase
