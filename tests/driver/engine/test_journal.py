"""The journal through damage, full disks and crowds."""

from __future__ import annotations

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_driver.fault_points import hooked
from partita_driver.journal import copies
from partita_driver.journal.copies import COPIES
from partita_driver.journal.format import VERSION, Damaged, decode_journal, encode_journal, sealed
from partita_driver.journal.records import ClaimRecord, JournalState
from partita_driver.journal.store import Change, Durability, Journal
from partita_driver.lifecycle import ClaimState
from partita_plugins.errors import Retryable
from tests.waiting import WAIT_SECONDS, until


def with_claim(uid: str) -> Change:
    return lambda state: state.with_claim(ClaimRecord(uid=uid, state=ClaimState.INTENDED))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, boot_id="b")


def reopened(journal: Journal) -> Journal:
    return Journal(journal._folder, boot_id="b")


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("damage", [b"", b"x", b"partita-journal 1 1 0\n{}"])
def test_one_damaged_copy_is_set_aside_and_loses_nothing(journal: Journal, copy: str, damage: bytes) -> None:
    journal.change(with_claim("a"))
    (journal._folder / copy).write_bytes(damage)
    again = reopened(journal)
    assert list(again.state.claims) == ["a"]
    assert not again.rebuilt
    assert copy in again.findings[0]
    assert (journal._folder / f"{copy}.damaged-1").read_bytes() == damage


def test_the_newest_intact_copy_wins(journal: Journal) -> None:
    journal.change(with_claim("a"))
    older = (journal._folder / COPIES[0]).read_bytes()
    journal.change(with_claim("b"))
    (journal._folder / COPIES[0]).write_bytes(older)
    assert sorted(reopened(journal).state.claims) == ["a", "b"]


def test_two_damaged_copies_are_told_and_never_stop_the_start(journal: Journal) -> None:
    journal.change(with_claim("a"))
    for copy in COPIES:
        (journal._folder / copy).write_bytes(b"\x00" * 100)
    again = reopened(journal)
    assert again.rebuilt
    assert again.state == JournalState()
    assert len(again.findings) == 2


@pytest.mark.parametrize("copies", [COPIES[:1], COPIES])
def test_copies_that_cannot_be_read_at_all_never_stop_the_start(journal: Journal, copies: tuple[str, ...]) -> None:
    journal.change(with_claim("a"))
    for copy in copies:
        (journal._folder / copy).unlink()
        (journal._folder / copy).mkdir()
    again = reopened(journal)
    assert again.rebuilt == (copies == COPIES)
    assert list(again.state.claims) == ([] if again.rebuilt else ["a"])
    assert len(again.findings) == len(copies)
    again.change(with_claim("b"))
    assert "b" in reopened(again).state.claims


def newer(sequence: int) -> bytes:
    return sealed(VERSION + 1, sequence, b'{"claims": ["in another form"]}')


def test_a_journal_of_a_newer_release_is_kept_and_said_and_rebuilt(journal: Journal) -> None:
    journal.change(with_claim("a"))
    for copy in COPIES:
        (journal._folder / copy).write_bytes(newer(7))
    again = reopened(journal)
    assert again.rebuilt
    assert again.state == JournalState()
    assert f"of version {VERSION + 1}" in again.findings[0]
    again.change(with_claim("b"))
    assert reopened(again).sequence == 8, "the way forward goes on from the highest number"
    for copy in COPIES:
        assert (journal._folder / f"{copy}.version-{VERSION + 1}").read_bytes() == newer(7)


@pytest.mark.parametrize(("sequence", "rebuilt"), [(2, True), (1, False)])
def test_a_copy_beside_one_of_a_newer_release_may_be_out_of_date(
    journal: Journal, sequence: int, rebuilt: bool
) -> None:
    journal.change(with_claim("a"))
    (journal._folder / COPIES[0]).write_bytes(newer(sequence))
    again = reopened(journal)
    assert list(again.state.claims) == ["a"], "what it says is not thrown away"
    assert again.rebuilt == rebuilt


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copies, "_write_durably", refuse)


def test_a_full_disk_refuses_what_must_be_durable_and_changes_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.change(with_claim("a"))
    full_disk(monkeypatch)
    with pytest.raises(Retryable, match="disk is full"):
        journal.change(with_claim("b"))
    assert list(journal.state.claims) == ["a"]
    assert list(reopened(journal).state.claims) == ["a"]


def test_best_effort_holds_on_a_full_disk_and_is_written_with_the_next_change(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full_disk(full)
        journal.change(with_claim("a"), Durability.BEST_EFFORT)
    assert list(journal.state.claims) == ["a"]
    assert list(reopened(journal).state.claims) == []
    journal.change(with_claim("b"))
    assert sorted(reopened(journal).state.claims) == ["a", "b"]


def test_a_change_that_refuses_changes_nothing(journal: Journal) -> None:
    def refuse(_state: JournalState) -> JournalState:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        journal.change(refuse)
    assert journal.sequence == 0


def test_changes_that_arrive_together_share_writes(journal: Journal) -> None:
    writing, gate = threading.Event(), threading.Event()

    def wait(point: str) -> None:
        if point == "journal-written":
            writing.set()
            gate.wait(WAIT_SECONDS)

    with hooked(wait), ThreadPoolExecutor(20) as pool:
        first = pool.submit(journal.change, with_claim("0"))
        assert writing.wait(WAIT_SECONDS)
        others = [pool.submit(journal.change, with_claim(str(n))) for n in range(1, 20)]
        until(lambda: len(journal._queue) == len(others))
        gate.set()
        for change in (first, *others):
            change.result(WAIT_SECONDS)
    assert len(reopened(journal).state.claims) == 20
    assert journal.sequence == 2


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_a_journal_by_accident(data: bytes) -> None:
    with pytest.raises(Damaged):
        decode_journal(data)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_any_flipped_bit_is_noticed(position: int, bit: int) -> None:
    state = JournalState(slots={"0000:07:00.0": 0}).with_claim(ClaimRecord(uid="u", state=ClaimState.PREPARED))
    data = bytearray(encode_journal(7, state))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(Damaged):
        decode_journal(bytes(data))


def test_a_field_of_a_newer_release_does_no_harm() -> None:
    body = msgspec.json.encode({"slots": {"0000:07:00.0": 3}, "colour": "green"})
    assert decode_journal(sealed(1, 5, body)) == (5, JournalState(slots={"0000:07:00.0": 3}))
