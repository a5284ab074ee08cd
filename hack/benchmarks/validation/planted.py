"""The faults that are planted: classes of them, each at a random place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from partita_plugins.backends.simulated.faults import (
    Fault,
    FaultyMultiprocessor,
    MissingMultiprocessor,
    SmEffect,
    StuckBit,
    StuckLine,
    WrongMemorySize,
)

LOWEST_LINE = 2
"""Kernels access memory by four words: lines below are within one access."""

MISSING_MIB = (4096, 16384)
"""Whole stacks of memory, or several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a fault can be planted in: one whole GPU."""

    gpu_uuid: str
    words: int
    multiprocessors: int


def stuck_bit(random: Random, part: Part) -> Fault:
    """Any bit of any word, at either value."""
    word, bit, value = random.randrange(part.words), random.randrange(32), random.randrange(2)
    return StuckBit(gpu_uuid=part.gpu_uuid, word=word, bit=bit, value=value)


def _stuck_line(random: Random, part: Part) -> Fault:
    lines = range(LOWEST_LINE, (part.words - 1).bit_length())
    return StuckLine(gpu_uuid=part.gpu_uuid, line=random.choice(lines))


def _short_memory(random: Random, part: Part) -> Fault:
    return WrongMemorySize(gpu_uuid=part.gpu_uuid, missing_mib=random.randint(*MISSING_MIB))


def _missing_multiprocessor(random: Random, part: Part) -> Fault:
    return MissingMultiprocessor(gpu_uuid=part.gpu_uuid, count=random.randint(1, 2))


def _multiprocessor(effect: SmEffect) -> Callable[[Random, Part], Fault]:
    def planted(random: Random, part: Part) -> Fault:
        number = random.randrange(part.multiprocessors)
        return FaultyMultiprocessor(gpu_uuid=part.gpu_uuid, effect=effect, multiprocessor=number)

    return planted


CLASSES: Mapping[str, Callable[[Random, Part], Fault]] = MappingProxyType(
    {
        "bit": stuck_bit,
        "stuck-line": _stuck_line,
        "short-memory": _short_memory,
        "wrong-sm": _multiprocessor("wrong-bit"),
        "low-bit": _multiprocessor("low-bit"),
        "idle-sm": _multiprocessor("idle"),
        "missing-sm": _missing_multiprocessor,
        "nan": _multiprocessor("nan"),
        "swapped-lanes": _multiprocessor("swapped-lanes"),
    }
)
"""The name that `fault` has in the rows, and who plants one."""


def place_of(fault: Fault) -> str:
    """Where it is, in a few words."""
    match fault:
        case StuckBit(word=word, bit=bit, value=value):
            return f"word {word:#x} bit {bit} reads {value}"
        case StuckLine(line=line):
            return f"line {line}"
        case WrongMemorySize(missing_mib=missing_mib):
            return f"{missing_mib} MiB missing"
        case FaultyMultiprocessor(multiprocessor=number):
            return f"multiprocessor {number}"
        case MissingMultiprocessor(count=count):
            return f"{count} missing"
    raise TypeError(f"{type(fault).__name__} is not planted here")
