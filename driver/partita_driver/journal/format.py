"""How the journal's values are spelled on disk, by version.

A copy is one header line and a body of JSON: "partita-journal <version> <sequence> <sha256>". The checksum covers the
rest of the header and the body as they were written, so a field added later never makes an old file look damaged.
"""

from __future__ import annotations

import hashlib

import msgspec

from partita_driver.journal.records import JournalState
from partita_plugins.errors import Permanent
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.steps import MakeMpsFolders, RunMpsDaemon, SetExclusiveProcess

MAGIC = "partita-journal"
VERSION = 3
"""The newest that there is. 2 came with monitors, 3 with MPS: kinds of devices and of steps that older readers do not
know."""

NEW_IN_3 = (SetExclusiveProcess, MakeMpsFolders, RunMpsDaemon)

JOURNAL_BYTES_MAX = 16 * 2**20


class Damaged(Permanent):
    """A copy of the journal that cannot be read."""


class Newer(Damaged):
    """A whole copy, written by a release that came later."""

    def __init__(self, version: int, sequence: int) -> None:
        super().__init__(f"it is of version {version}, and this release reads up to {VERSION}")
        self.version, self.sequence = version, sequence


_DECODERS = dict.fromkeys((1, 2, 3), msgspec.json.Decoder(JournalState))
"""One for each version ever released."""


def encode_journal(sequence: int, state: JournalState) -> bytes:
    """A copy as it stands on disk, for the oldest release that can read it: a rollback loses no more than it must."""
    return sealed(version_for(state), sequence, msgspec.json.encode(state))


def version_for(state: JournalState) -> int:
    """The lowest version whose readers know all that is in a state."""
    devices = [device for claim in state.claims.values() for device in claim.devices]
    if any(isinstance(step, NEW_IN_3) for device in devices for step in device.steps):
        return 3
    return 2 if any(device.kind is DeviceKind.MONITOR for device in devices) else 1


def sealed(version: int, sequence: int, body: bytes) -> bytes:
    """A body under its header."""
    return f"{MAGIC} {version} {sequence} {_checksum(str(version), str(sequence), body)}\n".encode() + body


def decode_journal(data: bytes) -> tuple[int, JournalState]:
    """Sequence number and state of a copy. Raises Damaged that says how."""
    header, _, body = data.partition(b"\n")
    words = header.decode("ascii", errors="replace").split(" ")
    if len(words) != 4 or words[0] != MAGIC or not (words[1].isdigit() and words[2].isdigit()):
        raise Damaged("its first line is not that of a journal")
    if _checksum(words[1], words[2], body) != words[3]:
        raise Damaged("its checksum does not match")
    decoder = _DECODERS.get(int(words[1]))
    if decoder is None:
        raise Newer(int(words[1]), int(words[2]))
    try:
        return int(words[2]), decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Damaged(f"its content does not fit: {error}") from error


def _checksum(version: str, sequence: str, body: bytes) -> str:
    return hashlib.sha256(f"{version} {sequence}\n".encode() + body).hexdigest()
