"""Kubernetes quantities ("10Gi", "1500m") as exact numbers, and back in canonical form."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil

from partita_plugins.errors import InvalidInput

_BINARY = {suffix: 2 ** (10 * power) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{1,2}|)", re.ASCII)

_EXACT = Context(prec=200)
"""More digits than 64 characters can say: the default of 28 would round."""

MIB = 2**20


def parse_quantity(text: str) -> Decimal:
    """The exact value of a quantity. Raises InvalidInput for anything else."""
    match = _QUANTITY.fullmatch(text) if len(text) <= 64 else None
    if match is None:
        raise InvalidInput(f"{text[:64]!r} is not a quantity", advice='write for example "10Gi" or "2"')
    number, suffix = Decimal(match[1]), match[2]
    if suffix in _BINARY:
        return _EXACT.multiply(number, Decimal(_BINARY[suffix]))
    return _EXACT.scaleb(number, _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:]))


parsed = lru_cache(maxsize=8192)(parse_quantity)
"""The same, remembered: a cluster says few quantities over and over."""


@lru_cache(maxsize=8192)
def to_mib(text: str) -> int:
    """MiB of a memory quantity, rounded up so that nobody gets less than asked."""
    return ceil(Fraction(parse_quantity(text)) / MIB)


def format_mib(mib: int) -> str:
    """The quantity of whole MiB: "80Gi" where it is whole GiB, else "81152Mi"."""
    return f"{mib // 1024}Gi" if mib and mib % 1024 == 0 else f"{mib}Mi"
