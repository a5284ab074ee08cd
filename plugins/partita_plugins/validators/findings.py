"""How a wrong result is told: one plain sentence each, for an event."""

from __future__ import annotations


def wrong_word(address: int, got: int, expected: int) -> str:
    """A word of memory; where just one bit differs, that bit."""
    flipped = got ^ expected
    if flipped & (flipped - 1):
        return f"word {address:#x} reads {got:#010x}, expected {expected:#010x}"
    bit = flipped.bit_length() - 1
    return f"bit {bit} of word {address:#x} reads {got >> bit & 1}, expected {expected >> bit & 1}"


def wrong_memory_size(got_mib: int, promised_mib: int) -> str:
    return f"the device has {got_mib} MiB of memory, {promised_mib} were promised"


def wrong_multiprocessors(got: int, promised: int) -> str:
    return f"the device has {got} multiprocessors, {promised} were promised"
