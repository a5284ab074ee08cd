"""Paths of a node as a process sees them that has the node's root mounted somewhere else."""

from __future__ import annotations

from pathlib import Path

DRIVER_CONTAINER = "/run/nvidia/driver"
"""Where on the node the GPU Operator's driver container has its own root."""

LINKS_MAX = 40
"""Links in one path, as in Linux."""


def seen(root: Path, path: str) -> Path:
    """A path of the node under `root`; it need not be there.

    Absolute symbolic links lead within `root`, as they do on the node: Debian's packages reach NVIDIA's libraries and
    programs through /etc/alternatives.
    """
    plain = root / path.lstrip("/")
    return plain if plain.exists() else _followed(root, path)


def _followed(root: Path, path: str) -> Path:
    done: list[str] = []
    ahead, links = _parts(path), 0
    while ahead:
        part = ahead.pop()
        here = root.joinpath(*done, part)
        if part == "..":
            done = done[:-1]
        elif links < LINKS_MAX and here.is_symlink():
            links += 1
            target = str(here.readlink())
            done = [] if target.startswith("/") else done
            ahead += _parts(target)
        else:
            done.append(part)
    return root.joinpath(*done)


def _parts(path: str) -> list[str]:
    """Of a path, the last first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
