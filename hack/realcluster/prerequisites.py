"""What the machine must offer, and the command that gets what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hack.realcluster.errors import ClusterError

GO_NEEDED = (1, 26)
CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
CNI_PLUGINS = ("ptp", "host-local", "loopback")

# Program, Debian package.
PROGRAMS = (
    ("runc", "runc"),
    ("busybox", "busybox-static"),
    ("openssl", "openssl"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("cc", "build-essential"),
)
IMAGE_PROGRAMS = (("buildah", "buildah"), ("mmdebstrap", "mmdebstrap"))

_PT_INTERP = 3
_ELF64_HEADER = 64


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is missing: in words, and the Debian package that brings it, if one does."""

    what: str
    package: str | None = None


def missing(*, need_go: bool, need_image: bool = False) -> tuple[Missing, ...]:
    """Return everything that is missing on this machine, at once rather than one by one."""
    found = [*_platform(), *_programs(PROGRAMS + (IMAGE_PROGRAMS if need_image else ())), *_cni()]
    if need_go:
        found.extend(_go())
    return tuple(found)


def explain(lacking: tuple[Missing, ...]) -> str:
    """Return the message that names what is missing and the exact command that gets it."""
    lines = ["The cluster cannot start here yet. Missing:"]
    lines.extend(f"  - {item.what}" for item in lacking)
    command = install_command(lacking)
    if command:
        lines.append(f"Debian and Ubuntu have it: {' '.join(command)}")
        lines.append("or let this do it: hack/cluster prerequisites --install")
    return "\n".join(lines)


def install_command(lacking: tuple[Missing, ...]) -> tuple[str, ...]:
    """Return the command that installs the missing packages; empty when no package would help."""
    packages = sorted({item.package for item in lacking if item.package})
    return ("apt-get", "install", "-y", "--no-install-recommends", *packages) if packages else ()


def install(lacking: tuple[Missing, ...]) -> None:
    """Install the missing packages with apt-get."""
    command = install_command(lacking)
    if not command:
        return
    if shutil.which("apt-get") is None:
        msg = "There is no apt-get here: install what is missing with the package manager of this system."
        raise ClusterError(msg)
    subprocess.run(["apt-get", "update"], check=False)
    if subprocess.run(command, check=False).returncode:
        msg = f"This failed: {' '.join(command)}\nRead its output above, then run it again."
        raise ClusterError(msg)


def cni_folder() -> str | None:
    """Return the folder that holds the CNI plugins, or nothing."""
    for folder in CNI_FOLDERS:
        if all((Path(folder) / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    return None


def is_static(program: bytes) -> bool:
    """Say whether a 64-bit little-endian ELF program runs without a dynamic loader."""
    if program[:6] != b"\x7fELF\x02\x01" or len(program) < _ELF64_HEADER:
        return False
    offset = int.from_bytes(program[32:40], "little")
    size, count = int.from_bytes(program[54:56], "little"), int.from_bytes(program[56:58], "little")
    kinds = (program[offset + i * size : offset + i * size + 4] for i in range(count))
    return all(int.from_bytes(kind, "little") != _PT_INTERP for kind in kinds)


def go_version(text: str) -> tuple[int, int] | None:
    """Return the version that `go version` printed, as (major, minor)."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _platform() -> list[Missing]:
    if sys.platform != "linux":
        return [Missing(f"Linux: containers and cgroups are its own (this is {platform.system()})")]
    found = []
    if os.geteuid() != 0:
        found.append(Missing("root: namespaces, mounts and cgroups need it; try again with sudo -E"))
    if not Path("/proc/self/ns/pid").exists() or not Path("/sys/fs/cgroup").is_dir():
        found.append(Missing("PID namespaces and cgroups in the kernel"))
    return found


def _programs(wanted: tuple[tuple[str, str], ...]) -> list[Missing]:
    found = [Missing(f"the program {name}", pkg) for name, pkg in wanted if shutil.which(name) is None]
    busybox = shutil.which("busybox")
    if busybox and not is_static(Path(busybox).read_bytes()):
        found.append(Missing(f"a statically linked busybox ({busybox} is not)", "busybox-static"))
    return found


def _cni() -> list[Missing]:
    if cni_folder():
        return []
    what = f"the CNI plugins {', '.join(CNI_PLUGINS)} in one of {', '.join(CNI_FOLDERS)}"
    return [Missing(what, "containernetworking-plugins")]


def _go() -> list[Missing]:
    wanted = ".".join(str(part) for part in GO_NEEDED)
    how = "once, to build the programs (https://go.dev/dl)"
    if shutil.which("go") is None:
        return [Missing(f"Go {wanted} or newer, {how}")]
    # In a folder without go.mod, and without fetching another toolchain just to ask.
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    shown = subprocess.run(["go", "version"], capture_output=True, text=True, check=False, env=environment, cwd="/")
    version = go_version(shown.stdout)
    if version is None or version < GO_NEEDED:
        return [Missing(f"Go {wanted} or newer, {how}; here is: {shown.stdout.strip() or 'none that runs'}")]
    return []
