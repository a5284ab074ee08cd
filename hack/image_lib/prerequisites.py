"""What the machine must offer, and the command that gets what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from hack.image_lib.commands import ImageError

# Program, Debian package.
PROGRAMS = (("buildah", "buildah"), ("mmdebstrap", "mmdebstrap"), ("apt-get", "apt"))
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def require(*, need_base: bool) -> None:
    """Raise ImageError that names everything missing at once. A base of one's own needs no mmdebstrap."""
    if sys.platform != "linux":
        raise ImageError("hack/image needs Linux; elsewhere build the Containerfile with the tool you have")
    lacking = [*_programs(need_base=need_base), *_python()]
    if need_base and not KEYRING.exists():
        lacking.append(("the keys of the Debian archive", "debian-archive-keyring"))
    lines = [f"  - {what}" for what, _ in lacking]
    if os.geteuid() != 0:
        lines.append("  - root, to unpack a root file system; try again with sudo -E")
    if not lines:
        return
    packages = " ".join(sorted({package for _, package in lacking}))
    advice = f"\nDebian and Ubuntu have it: apt-get install -y --no-install-recommends {packages}" if packages else ""
    raise ImageError("\n".join(["The image cannot be built here yet. Missing:", *lines]) + advice)


def _programs(*, need_base: bool) -> list[tuple[str, str]]:
    wanted = PROGRAMS if need_base else PROGRAMS[:1]
    return [(f"the program {name}", package) for name, package in wanted if shutil.which(name) is None]


def _python() -> list[tuple[str, str]]:
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return []
    return [(f"the venv module of {sys.executable}", "python3-venv")]
