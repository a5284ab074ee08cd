"""What is missing, and the words for it."""

from pathlib import Path

import pytest
from hack.realcluster import prerequisites
from hack.realcluster.prerequisites import Missing


def test_the_message_names_everything_and_the_command_that_gets_it() -> None:
    lacking = (Missing("the program runc", "runc"), Missing("root"), Missing("busybox", "busybox-static"))
    text = prerequisites.explain(lacking)
    assert "the program runc" in text
    assert "root" in text
    assert "apt-get install -y --no-install-recommends busybox-static runc" in text


def test_no_command_is_offered_when_no_package_helps() -> None:
    assert "apt-get" not in prerequisites.explain((Missing("Linux"),))


def test_a_package_is_named_once() -> None:
    lacking = (Missing("unshare", "util-linux"), Missing("nsenter", "util-linux"))
    assert prerequisites.install_command(lacking).count("util-linux") == 1


def test_everything_is_missing_where_nothing_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(prerequisites, "CNI_FOLDERS", (str(tmp_path),))
    packages = {item.package for item in prerequisites.missing(need_go=True, need_image=True)}
    assert {"runc", "busybox-static", "containernetworking-plugins", "buildah", "mmdebstrap"} <= packages
    words = [item.what for item in prerequisites.missing(need_go=True)]
    assert any(what.startswith("Go 1.26 or newer") for what in words)
    words = [item.what for item in prerequisites.missing(need_go=False)]
    assert not any(what.startswith("Go ") for what in words)


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.9 linux/arm64", (1, 9)), ("no", None)],
)
def test_the_version_of_go_is_read(text: str, version: tuple[int, int] | None) -> None:
    assert prerequisites.go_version(text) == version


def elf(*kinds: int) -> bytes:
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[32:40] = (64).to_bytes(8, "little")
    header[54:56] = (56).to_bytes(2, "little")
    header[56:58] = len(kinds).to_bytes(2, "little")
    return bytes(header) + b"".join(kind.to_bytes(4, "little") + bytes(52) for kind in kinds)


def test_a_program_is_static_when_it_asks_for_no_loader() -> None:
    assert prerequisites.is_static(elf(1, 2, 4))
    assert not prerequisites.is_static(elf(1, 3, 4))
    assert not prerequisites.is_static(b"#!/bin/sh\n")
