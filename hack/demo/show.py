"""Text for a terminal: steps with elapsed time, tables, ticks. No wider than 100 columns, with and without colour."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import TextIO

WIDTH = 100
INDENT = " " * 4
STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
GAP = "  "
LAST_COLUMN_MIN = 20


class Screen:
    """Where the demo writes. Colour only on a terminal that wants it (NO_COLOR and TERM=dumb say no)."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._began = time.monotonic()
        self._steps = 0
        self.current = "0 (before the first)"
        """Number and name of the present step."""

        self._colour = out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._tick, self._cross = ("✓", "✗") if _writes(out, "✓✗") else ("ok", "NO")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def style(self, text: str, *styles: str) -> str:
        codes = ";".join(STYLES[name] for name in styles)
        return f"\033[{codes}m{text}\033[0m" if self._colour and text and styles else text

    def title(self, text: str) -> None:
        self._write(self.style(text, "bold"))

    def step(self, text: str) -> None:
        """One line that says what happens now."""
        self._steps += 1
        self.current = f"{self._steps}, {text}"
        clock = self.style(f"[{self.seconds:5.1f} s]", "dim")
        self._write(f"\n{clock} {self.style(f'{self._steps}. {text}', 'bold')}")

    def line(self, text: str = "", *styles: str) -> None:
        """Indented below its step; long lines go on, further in."""
        more = " " * (len(text) - len(text.lstrip()) + 2)
        for one in _wrap(text, WIDTH - len(INDENT), more) or [""]:
            self._write(f"{INDENT}{self.style(one, *styles)}".rstrip())

    def block(self, text: str, *styles: str) -> None:
        """Several lines as they are."""
        for one in text.splitlines():
            self.line(one, *styles)

    def command(self, text: str) -> None:
        """What a person would type to see the same."""
        self.line(f"$ {text}", "cyan")

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns as wide as their content, under their heads (none: no heads); the last one is wrapped."""
        body = [tuple(row) for row in rows]
        texts = [tuple(heads), *body] if heads else body
        widths = [max(len(row[place]) for row in texts) for place in range(len(texts[0]) - 1)]
        room = max(WIDTH - len(INDENT) - sum(widths) - len(GAP) * len(widths), LAST_COLUMN_MIN)
        for row in texts:
            wrapped = _wrap(row[-1], room) or [""]
            for number, last in enumerate(wrapped):
                cells = row[:-1] if number == 0 else [""] * len(widths)
                padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
                text = GAP.join([*padded, last]).rstrip()
                self._write(f"{INDENT}{self.style(text, 'dim') if row == tuple(heads) else text}")

    def check(self, text: str, *, passed: bool, detail: str = "") -> None:
        """A tick and what was expected; where it did not come true, what came instead."""
        mark = self.style(self._tick, "green") if passed else self.style(self._cross, "red", "bold")
        lines = _wrap(text if passed or not detail else f"{text}: {detail}", WIDTH - len(INDENT) - 3)
        for number, one in enumerate(lines or [""]):
            self._write(f"{INDENT}{mark if number == 0 else ' '} {one}")

    def _write(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()


def _wrap(text: str, width: int, more: str = "") -> list[str]:
    """Lines of at most so many columns. Names keep together: they are full of hyphens."""
    return textwrap.wrap(text, width, subsequent_indent=more, break_on_hyphens=False)


def _writes(out: TextIO, text: str) -> bool:
    try:
        text.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
