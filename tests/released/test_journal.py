"""The journal over releases: every one that was ever written is read, and what is written now can be rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from hack.released.contents import journals
from hack.released.files import Release, releases

from partita_driver.journal.format import VERSION, decode_journal, encode_journal, sealed

RELEASES = releases()
WRITTEN = [(version, name) for version, release in RELEASES.items() for name in release.journals]


def body_of(copy: bytes) -> Any:
    return msgspec.json.decode(copy.partition(b"\n")[2])


def version_of(copy: bytes) -> int:
    return int(copy.split(b" ", 2)[1])


def unsaid(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """What an old document says and a new one does not."""
    if isinstance(old, dict):
        for key, value in old.items():
            if not isinstance(new, dict) or key not in new:
                yield f"{path}.{key}"
            else:
                yield from unsaid(value, new[key], f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from unsaid(one, other, f"{path}[{index}]")
    elif old != new:
        yield f"{path}: {old!r} became {new!r}"


def with_unknown_fields(value: Any) -> Any:
    if isinstance(value, dict):
        return {**{key: with_unknown_fields(one) for key, one in value.items()}, "of-a-later-release": [1, {"a": None}]}
    return [with_unknown_fields(one) for one in value] if isinstance(value, list) else value


def test_this_version_has_golden_files() -> None:
    assert RELEASES, "hack/golden writes them"


@pytest.mark.parametrize(("version", "name"), WRITTEN)
def test_a_released_journal_is_read_and_nothing_of_it_is_lost(version: str, name: str) -> None:
    copy = RELEASES[version].journals[name]
    sequence, state = decode_journal(copy)
    again = encode_journal(sequence, state)
    lost = list(unsaid(body_of(copy), body_of(again)))
    if version_of(copy) == version_of(again):
        assert not lost, f"this release no longer knows what {version} wrote: keep it, or raise VERSION and convert"


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_what_is_written_now_can_be_read_after_a_rollback(release: Release) -> None:
    """What is of a newer version is set aside and rebuilt by older releases; the rest they read."""
    known = max(version_of(copy) for copy in release.journals.values())
    reader = jsonschema.Draft202012Validator(release.json("journal-reader"))
    readable = {name: copy for name, copy in journals().items() if version_of(copy) <= known}
    assert {"minimal", "full"} <= readable.keys()
    for copy in readable.values():
        refused = [f"{error.json_path}: {error.message[:200]}" for error in reader.iter_errors(body_of(copy))]
        assert not refused, f"{release.folder.name} could not read this: raise VERSION in journal/records.py"


def test_fields_of_a_later_release_do_no_harm() -> None:
    for copy in journals().values():
        sequence, state = decode_journal(copy)
        body = with_unknown_fields(body_of(copy))
        for place in ("claims", "slots", "looks"):  # keys of these are data
            body.get(place, {}).pop("of-a-later-release", None)
        assert decode_journal(sealed(VERSION, sequence, msgspec.json.encode(body))) == (sequence, state)
