"""What msgspec knows of our types, learned before there are threads."""

from __future__ import annotations

import msgspec


def learn_types() -> int:
    """Let msgspec look at every Struct there is, and return how many it knows. Call before the first thread starts.

    Its first look at a type, at the first decode, is not safe from several threads at once (0.22: a segmentation fault
    under load, found by running the demo over and over).
    """
    found: set[type] = set()
    waiting: list[type] = [msgspec.Struct]
    while waiting:
        subclasses: list[type] = waiting.pop().__subclasses__()
        for one in subclasses:
            if one not in found:
                found.add(one)
                waiting.append(one)
    learned = 0
    for one in found:
        if not getattr(one, "__parameters__", ()):  # A generic type is learned where it is given its parameter.
            try:
                msgspec.json.Decoder(one)
            except (TypeError, NameError):  # Not made for JSON, or an annotation that only its own module resolves.
                continue
            learned += 1
    return learned
