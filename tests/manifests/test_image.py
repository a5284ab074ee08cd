"""The parts of hack/image that decide: which pins, which wheels, which mirrors, what the archive is called."""

import json
import tarfile
from pathlib import Path

import pytest
from hack.image_lib import archive, lockfile
from hack.image_lib.base import debian_sources
from hack.image_lib.cache import KEPT, Cache, digest
from hack.image_lib.commands import ImageError
from hack.image_lib.target import Target
from hack.image_lib.wheels import BUILD_BACKEND, ROOT

OLD = Target(python=(3, 11, 2), machine="x86_64", glibc=(2, 36))
NEW = Target(python=(3, 13, 0), machine="aarch64", glibc=(2, 41))


@pytest.mark.parametrize("target", [OLD, NEW], ids=lambda target: target.machine)
def test_the_lock_gives_each_target_one_version_of_each_package(target: Target) -> None:
    pins = lockfile.parse((ROOT / "requirements" / "runtime.txt").read_text())
    names = [pin.name for pin in lockfile.wanted(pins, target.environment)]
    assert len(names) == len(set(names)) > 40
    assert {"grpcio", "numpy", "networkx", "nvidia-ml-py", "cupy-cuda12x"} <= set(names)
    assert not {"colorama", "cupy-cuda13x"} & set(names)


def test_markers_are_judged_by_the_target_and_not_by_this_python() -> None:
    pins = lockfile.parse((ROOT / "requirements" / "runtime.txt").read_text())
    [old] = [pin for pin in lockfile.wanted(pins, OLD.environment) if pin.name == "numpy"]
    [new] = [pin for pin in lockfile.wanted(pins, NEW.environment) if pin.name == "numpy"]
    assert old.version != new.version


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("python_full_version < '3.12'", True),
        ("python_version >= '3.9'", True),
        ("sys_platform == 'win32' or python_full_version >= '3.11.2'", True),
        ("sys_platform == 'linux' and platform_python_implementation != 'CPython'", False),
    ],
)
def test_a_marker_holds_or_not(marker: str, expected: bool) -> None:
    assert lockfile.holds(marker, OLD.environment) is expected


@pytest.mark.parametrize("marker", ["__import__('os')", "extra == 'x'", "python_version <", "'a' in 'ab'"])
def test_what_is_no_marker_is_refused_and_never_run(marker: str) -> None:
    with pytest.raises(ImageError, match="make lock"):
        lockfile.holds(marker, OLD.environment)


def test_a_pin_without_a_hash_is_refused() -> None:
    with pytest.raises(ImageError, match="hash"):
        lockfile.parse("numpy==2.0.0\n")


def test_the_build_tools_are_pinned() -> None:
    pins = lockfile.parse((ROOT / "requirements" / "dev.txt").read_text())
    assert {pin.name for pin in pins} >= BUILD_BACKEND


def test_wheels_are_asked_for_the_target_and_never_newer_than_its_glibc() -> None:
    options = OLD.pip_options
    assert "--python-version=3.11" in options
    assert "--abi=cp311" in options
    assert "--platform=manylinux_2_36_x86_64" in options
    assert "--platform=manylinux_2_37_x86_64" not in options


def test_mirrors_are_those_of_apt_for_the_suite_that_is_wanted() -> None:
    lines = [
        "Debian|http://mirror.example/debian|trixie|main",
        "Debian|http://mirror.example/debian|trixie-updates|main",
        "Debian|http://mirror.example/security|stable-security|main",
        "Debian|http://mirror.example/debian|trixie-backports|main",
        "Somebody|http://other.example|trixie|main",
    ]
    assert debian_sources(lines, "bookworm") == [
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm-updates main",
        "deb http://mirror.example/security bookworm-security main",
    ]


def test_containerd_finds_the_name_in_the_archive(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    (layout / "blobs" / "sha256").mkdir(parents=True)
    (layout / "index.json").write_text(json.dumps({"manifests": [{"digest": "sha256:0"}]}))
    archive.pack(layout, "partita.dev/partita:dev", tmp_path / "made.tar")
    archive.deliver(tmp_path / "made.tar", tmp_path / "new" / "out.tar")
    with tarfile.open(tmp_path / "new" / "out.tar") as tar:
        member = tar.extractfile("index.json")
        assert member is not None
        [manifest] = json.load(member)["manifests"]
    assert manifest["annotations"]["io.containerd.image.name"] == "partita.dev/partita:dev"


def test_what_was_made_once_is_found_again_and_old_things_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    made: list[str] = []

    def make(path: Path) -> None:
        made.append(path.read_text() if path.exists() else "new")
        path.write_text("done")

    for name in ("a", "b", "a", "c", "d"):
        cache.get("thing", digest(name), name, make)
    assert made == ["new"] * 4
    assert len(list((tmp_path / "thing").iterdir())) == KEPT


def test_a_build_that_fails_leaves_nothing_that_looks_made(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise ImageError("no")

    with pytest.raises(ImageError):
        Cache(tmp_path).get("thing", "key", "thing", fail)
    assert not list((tmp_path / "thing").iterdir())
