"""What the demo writes fits into a terminal, of whatever kind."""

from __future__ import annotations

import io

import pytest
from hack.demo.show import WIDTH, Screen


class Terminal(io.StringIO):
    def __init__(self, encoding: str = "utf-8", *, tty: bool = True) -> None:
        super().__init__()
        self._encoding, self._tty = encoding, tty

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._tty


def test_nothing_is_wider_than_the_terminal() -> None:
    out = Terminal(tty=False)
    screen = Screen(out)
    screen.line("word " * 60)
    screen.table(("A", "B"), [("x" * 30, "word " * 60)])
    screen.check("word " * 60, passed=False, detail="word " * 60)
    lines = out.getvalue().splitlines()
    assert len(lines) > 10
    assert max(map(len, lines)) <= WIDTH


def test_columns_stand_below_each_other() -> None:
    out = Terminal(tty=False)
    Screen(out).table(("A", "B"), [("long", "1"), ("x", "2")])
    assert {line.index(last) for line, last in zip(out.getvalue().splitlines(), "B12", strict=True)} == {10}


@pytest.mark.parametrize(("setting", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(
    setting: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    Screen(out).title("hello")
    assert ("\033[1mhello\033[0m" in out.getvalue()) == coloured


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "✓ fine"), ("ascii", "ok fine")])
def test_a_terminal_without_ticks_gets_words(encoding: str, mark: str) -> None:
    out = Terminal(encoding)
    Screen(out).check("fine", passed=True)
    assert mark in out.getvalue().replace("\033[32m", "").replace("\033[0m", "")
