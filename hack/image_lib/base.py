"""The base: a small Debian with Python, made by mmdebstrap from the mirrors that this machine's own apt uses."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from hack.image_lib.cache import Cache, digest
from hack.image_lib.commands import run

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "libstdc++6")
"""grpcio needs libstdc++."""

_EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
_KEPT = ("/usr/share/doc/*/copyright",)
OPTIONS = (
    "--mode=root",
    "--format=tar",
    "--variant=essential",
    f"--include={','.join(PACKAGES)}",
    *(f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED),
    *(f"--dpkgopt=path-include={path}" for path in _KEPT),
)


def base_archive(cache: Cache, *, fresh: bool) -> Path:
    """The base as a tar. `fresh` makes it again, with today's security updates."""
    key = digest(SUITE, *OPTIONS)
    if fresh:
        (cache.folder / "base" / key).unlink(missing_ok=True)
    return cache.get("base", key, f"Debian {SUITE} with Python (about a minute, kept)", _make)


def _make(target: Path) -> None:
    listed = run(
        "apt-get",
        "indextargets",
        "--format",
        "$(ORIGIN)|$(SITE)|$(RELEASE)|$(COMPONENT)",
        "Created-By: Packages",
        advice="Run apt-get update, then again.",
    )
    sources = debian_sources(listed.splitlines(), SUITE)
    if not sources:
        print("apt on this machine knows no Debian mirror; mmdebstrap's default is used", file=sys.stderr)
    mirror = ("-",) if sources else ()
    run(
        "mmdebstrap",
        *OPTIONS,
        SUITE,
        target,
        *mirror,
        stdin="".join(f"{source}\n" for source in sources),
        advice="Check that apt-get update works here; or give a root file system with --base-archive.",
    )


def debian_sources(lines: Iterable[str], suite: str) -> list[str]:
    """What apt knows as Debian (origin|site|release|component lines), as one-line sources of a suite."""
    sources: list[str] = []
    for line in lines:
        origin, site, release, component = line.split("|")
        _, dash, pocket = release.partition("-")
        source = f"deb {site} {suite}{dash}{pocket} {component}"
        if origin == "Debian" and pocket in ("", "updates", "security") and source not in sources:
            sources.append(source)
    return sources
