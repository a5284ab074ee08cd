"""Building the C library: once, by many at a time, and with a clear word where it cannot be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from partita_plugins.errors import InvalidInput, Permanent
from partita_plugins.testing.nvml.build import build_stand_in


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"no C compiler 'cc'.*apt-get install -y gcc libc6-dev"):
        build_stand_in("libcuda.so.1", tmp_path)


def test_what_the_compiler_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "cc -no-such-option")
    with pytest.raises(Permanent, match="no-such-option"):
        build_stand_in("libcuda.so.1", tmp_path)


def test_many_who_want_it_at_once_get_one_whole_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: build_stand_in("libcuda.so.1", tmp_path), range(4)))
    (file,) = made
    assert file.read_bytes()[:4] == b"\x7fELF"
    assert sorted(path.name for path in file.parent.iterdir()) == ["libcuda.so.1", "lock"]
