"""What parent and child say to each other: one JSON value a line.

The child says Ready once it has imported all, gets a Request, says Started when it has a context, and ends after an
Answer or a Refusal. Anything more on its standard input, its end too, tells it to give up.
"""

from __future__ import annotations

import msgspec

from partita_plugins.errors import NvmlCode

LINE_BYTES_MAX = 2**16


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a device is used."""

    quick_bytes: int = 256 << 20
    """Memory of a quick look, and of one beside others: several times the largest cache of any GPU."""

    first_bytes: int = 256 << 20
    """Memory that a kernel takes before it is known how fast the device is: also more than any cache, or what is read
    back has never been in the memory. It takes the slowest GPU a few milliseconds."""

    left_bytes: int = 128 << 20
    """Left to the driver where all else is taken: it allocates too."""

    headroom_bytes: int = 512 << 20
    """Left to others who compute on the GPU, beyond what the look itself takes."""

    rounds: int = 16
    """Products a warp and chains a thread, in each of the two passes."""

    host_rate_min: float = 0.0
    """Bytes per second that copies from the host have to reach in a full look; 0: they are not looked at."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One look."""

    visible: tuple[str, ...]
    """CUDA UUIDs. More than one: what they copy to each other."""

    quick: bool
    budget_seconds: float
    """For all of it, from when the request is read."""

    begin: float = 0.0
    shared: bool = False
    seed: int = 0
    measure: bool = False
    """Also how fast copies are."""

    limits: Limits = Limits()
    nodes: tuple[tuple[str, int, int], ...] = ()
    """Path, major and minor of the device nodes that CUDA needs, control nodes too: it finds no others."""


class Ready(msgspec.Struct, frozen=True, tag="ready", forbid_unknown_fields=True):
    """All is imported; no device was touched."""


class Started(msgspec.Struct, frozen=True, tag="started", forbid_unknown_fields=True):
    """The devices are open."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag="refusal", forbid_unknown_fields=True):
    """Nothing can be computed, and no device is to blame."""

    code: NvmlCode
    message: str
    advice: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer", forbid_unknown_fields=True):
    """What a look found."""

    memory_bytes: int = 0
    """What the device says of itself."""

    multiprocessors: int = 0
    findings: tuple[str, ...] = ()
    memory_coverage: float = 0.0
    pairs_left: int = 0
    """Of devices, for whose copies there was no time."""

    skipped: str = ""
    seconds: dict[str, float] = {}
    """Of each part: "start", "compute", "allocate", "memory", "free"; "copies"; "rates"."""

    rates: dict[str, float] = {}
    """Bytes per second, where they were asked for."""


Told = Ready | Started | Refusal | Answer
