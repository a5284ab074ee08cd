"""What a selector's text says without running it: which parts of a device it reads, and syntax that is only sugar.

`cel.bind(x, v, e)`, `a.?b.orValue(c)` and `a.?b.hasValue()` are written out in plain CEL, which means the same.
`device.attributes` as a whole gets another name: a domain that a device lacks can be looked up, but it is not there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<string>[rR]?(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))"""
    r"|(?P<name>[A-Za-z_]\w*)|(?P<space>\s+|//[^\n]*)|(?P<number>\d+(?:\.\d+)?\w*)"
    r"|(?P<operator>\.\?|&&|\|\||[=!<>]=|.)",
    re.DOTALL,
)
_OPEN, _CLOSE = "([{", ")]}"
_PARTS = {"attributes", "capacity"}

WHOLE = "AsPublished"
"""Ending of the names under which the maps are found without domains that are only looked up."""

Reference = tuple[str, str, str]
"""("attributes" or "capacity", domain, id)."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What an expression reads of a device."""

    fields: frozenset[Reference] | None
    """None: possibly everything."""

    domains: frozenset[str]
    """Domains that it looks up; one that a device lacks is an empty map."""


def tokens(source: str) -> list[str]:
    """The source without blanks and comments."""
    return [found[0] for found in _TOKEN.finditer(source) if found.lastgroup != "space"]


def reads(source: str) -> Reads:
    """Which parts of a device the expression can depend on."""
    found = tokens(source)
    fields: set[Reference] = set()
    domains: set[str] = set()
    exact = True
    for i, word in enumerate(found):
        if word in _PARTS and found[i + 1 : i + 2] == ["["] and _is_string(found[i + 2 : i + 3]):
            domains.add(_text(found[i + 2]))
        if word != "device":
            continue
        reference = _reference(found, i)
        exact = exact and reference is not None
        if reference:
            fields.add(reference)
    return Reads(frozenset(fields) if exact else None, frozenset(domains))


def _reference(found: list[str], i: int) -> Reference | None:
    """The one field read at token i, or None where it cannot be told."""
    part = found[i + 2] if found[i + 1 : i + 2] == ["."] and i + 2 < len(found) else ""
    if part in {"driver", "allowMultipleAllocations"}:
        return (part, "", "")
    if part not in _PARTS or found[i + 3 : i + 4] != ["["] or not _is_string(found[i + 4 : i + 5]):
        return None
    domain, rest = _text(found[i + 4]), found[i + 6 : i + 9]
    if rest[:1] == ["."] and len(rest) > 1 and rest[1].isidentifier() and found[i + 8 : i + 9] != ["("]:
        return (part, domain, rest[1])
    if rest[:1] == ["["] and _is_string(rest[1:2]):
        return (part, domain, _text(rest[1]))
    if i >= 2 and found[i - 1] == "in" and _is_string(found[i - 2 : i - 1]):
        return (part, domain, _text(found[i - 2]))
    return None


def plain(source: str) -> str:
    """The same expression without cel.bind, optional look-ups and whole maps, where they can be written out."""
    found = tokens(source)
    plainly = _wholes(_optionals(_binds(found)))
    return source if plainly == found else " ".join(plainly)


def _wholes(found: list[str]) -> list[str]:
    """Of device.attributes and device.capacity where they are not indexed but asked what is in them."""
    return [
        word + WHOLE if word in _PARTS and found[i - 2 : i] == ["device", "."] and _asked(found, i) else word
        for i, word in enumerate(found)
    ]


def _asked(found: list[str], i: int) -> bool:
    before, after = found[max(i - 4, 0) : i - 2], found[i + 1 : i + 2]
    return after == ["."] or (after != ["["] and (before[-1:] == ["in"] or before == ["size", "("]))


def _binds(found: list[str]) -> list[str]:
    out: list[str] = []
    i = 0
    while i < len(found):
        if found[i : i + 4] == ["cel", ".", "bind", "("]:
            end = _closing(found, i + 3)
            arguments = _split(found[i + 4 : end])
            if len(arguments) == 3:
                name, value, body = arguments
                out += ["[", *_binds(value), "]", ".", "map", "(", *name, ",", *_binds(body), ")", "[", "0", "]"]
                i = end + 1
                continue
        out.append(found[i])
        i += 1
    return out


def _optionals(found: list[str]) -> list[str]:
    while ".?" in found:
        at = found.index(".?")
        start = _operand_start(found, at)
        field = [*found[start:at], ".", *found[at + 1 : at + 2]]
        call, opened = found[at + 3 : at + 4], found[at + 2 : at + 3] == ["."] and found[at + 4 : at + 5] == ["("]
        if not opened or call not in (["orValue"], ["hasValue"]):
            return found
        end = _closing(found, at + 4)
        plainly = ["has", "(", *field, ")"]
        if call == ["orValue"]:
            plainly = ["(", *plainly, "?", *field, ":", "(", *found[at + 5 : end], ")", ")"]
        found = [*found[:start], *plainly, *found[end + 1 :]]
    return found


def _operand_start(found: list[str], at: int) -> int:
    """Where the chain of names, indexes and calls that ends before `at` begins."""
    i = at - 1
    while i >= 0:
        if found[i] in _CLOSE:
            i = _opening(found, i)
            if i > 0 and (found[i - 1].isidentifier() or found[i - 1] in "])"):
                i -= 1
                continue
        if i >= 2 and found[i - 1] == ".":
            i -= 2
            continue
        return i
    return 0


def _closing(found: list[str], at: int) -> int:
    depth = 0
    for i in range(at, len(found)):
        depth += (found[i] in _OPEN) - (found[i] in _CLOSE)
        if not depth:
            return i
    return len(found)


def _opening(found: list[str], at: int) -> int:
    depth = 0
    for i in range(at, -1, -1):
        depth += (found[i] in _CLOSE) - (found[i] in _OPEN)
        if not depth:
            return i
    return 0


def _split(found: list[str]) -> list[list[str]]:
    """Arguments of a call."""
    parts: list[list[str]] = [[]]
    depth = 0
    for word in found:
        depth += (word in _OPEN) - (word in _CLOSE)
        if word == "," and not depth:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _is_string(found: list[str]) -> bool:
    return bool(found) and found[0][-1] in "\"'" and len(found[0]) > 1


def _text(token: str) -> str:
    return token.lstrip("rR")[1:-1]
