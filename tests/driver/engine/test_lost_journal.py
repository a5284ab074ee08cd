"""A journal that is damaged or gone, while pods run: what their CDI files say is taken as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from partita_driver.engine.lost_journal.recall import Recalled
from partita_driver.fault_points import hooked
from partita_driver.journal.copies import COPIES
from partita_plugins.errors import Retryable
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.engine.nodes import Node, claim, result, time_slice_config


def test_a_journal_that_is_gone_altogether_is_rebuilt_too(node: Node) -> None:
    held = claim(node.mig(0, "3g", 4))
    node.engine.prepare(held)
    for copy in COPIES:
        (node.root / "journal" / copy).unlink()
    node.start()
    assert list(node.engine.prepared()) == [held.metadata.uid]
    assert len(node.cdi_files()) == 1
    assert "journal was lost" in node.engine.findings[0]
    assert node.engine.foreign_placements() == frozenset()


@pytest.mark.parametrize("device", ["mig", "whole", "shared"])
def test_a_replay_after_a_lost_journal_leaves_the_running_pod_alone(node: Node, device: str) -> None:
    name = {"mig": node.mig(0, "3g", 4), "whole": node.whole(0), "shared": node.shared(0)}[device]
    held = claim(result(name, shareID="b5a8e0c4-0000-4000-8000-000000000001") if device == "shared" else name)
    node.engine.prepare(held)
    before, instances = node.cdi(held.metadata.uid), node.instances()
    for copy in COPIES:
        (node.root / "journal" / copy).write_bytes(b"\xff" * 64)
    node.start()
    points: list[str] = []
    with hooked(points.append):
        node.engine.prepare(held)
    assert "undo-intended" not in points
    assert "made" not in points
    assert node.instances() == instances
    assert node.cdi(held.metadata.uid) == before
    (adopted,) = node.journal.state.claims.values()
    assert (adopted.name, adopted.devices[0].request) == ("c", "gpu")


def test_a_share_found_again_by_its_file_keeps_its_time_slice_when_another_goes(node: Node) -> None:
    going, staying = (claim(result(node.shared(0)), config=time_slice_config("Short")) for _ in range(2))
    for one in (going, staying):
        node.engine.prepare(one)
    for copy in COPIES:
        (node.root / "journal" / copy).unlink()
    node.start()
    node.engine.unprepare(going.metadata.uid)
    assert node.time_slice(0) == "Short"
    node.engine.unprepare(staying.metadata.uid)
    assert node.time_slice(0) == "Default"


@pytest.mark.parametrize("first", ["owner", "onlooker"])
def test_a_partition_that_another_claim_looks_at_stays_until_the_last_of_both_goes(node: Node, first: str) -> None:
    """A CDI file does not say that its claim has admin access, and the API server has neither claim any more."""
    place = node.mig(0, "3g", 4)
    claims = {"owner": claim(place), "onlooker": claim(result(place, adminAccess=True))}
    for one in claims.values():
        node.engine.prepare(one)
    before = node.placements()
    node.lose_journal()
    node.start()
    node.engine.unprepare(claims.pop(first).metadata.uid)
    assert node.placements() == before
    (last,) = claims.values()
    node.engine.unprepare(last.metadata.uid)
    assert (node.placements(), node.cdi_files(), node.engine.claims()) == ([], [], {})


@pytest.mark.parametrize("first", ["owner", "onlooker"])
def test_whose_a_partition_is_that_two_claims_have_is_asked_before_one_is_given_back(
    tmp_path: Path, first: str
) -> None:
    claims: dict[str, ResourceClaim] = {}
    answers = False

    def recall() -> Recalled:
        if not answers:
            raise Retryable("no answer from the API server")
        return Recalled(claims=tuple(claims.values()))

    node = Node(tmp_path)
    place = node.mig(0, "3g", 4)
    claims |= {"owner": claim(place), "onlooker": claim(result(place, adminAccess=True))}
    for one in claims.values():
        node.engine.prepare(one)
    before, node.recall = node.placements(), recall
    node.lose_journal()
    node.start()
    with pytest.raises(Retryable, match="the journal was lost"):
        node.engine.unprepare(claims[first].metadata.uid)
    assert node.placements() == before
    answers = True
    node.engine.unprepare(claims[first].metadata.uid)
    assert node.placements() == ([] if first == "owner" else before)
