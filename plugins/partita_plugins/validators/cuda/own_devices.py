"""A /dev of the child's own: what a container with its devices would have, and no GPU beside them.

CUDA opens all the GPUs that it finds, whichever are visible to programs: one that is lost would fail the sound ones.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

Node = tuple[str, int, int]
"""Path, major and minor of a character device."""

DEV = "/dev"
PLAIN: tuple[Node, ...] = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
)

CLONE_NEWNS = 0x20000
MS_NOSUID, MS_REC, MS_SLAVE = 0x2, 0x4000, 0x80000
SIZE = b"mode=755,size=64m"


def own_devices(nodes: Iterable[Node]) -> str:
    """Put these nodes into a /dev that only this thread, and what it starts, sees; into the one there is where that is
    refused. Empty, or a line for each thing that cannot be done.

    Where there are none nothing is changed: whoever asks needs no nodes.
    """
    wanted = tuple(nodes)
    if not wanted:
        return ""
    refused = ""
    try:
        _mount_own()
    except OSError as error:
        refused = f"the validation sees all of {DEV}: {error}"
    else:
        os.mkdir(f"{DEV}/shm", 0o1777)  # noqa: PTH102
        os.symlink("/proc/self/fd", f"{DEV}/fd")  # noqa: PTH211
        wanted = (*PLAIN, *wanted)
    return "\n".join(filter(None, (refused, *map(made, wanted))))


def made(node: Node) -> str:
    """Make a node, also in place of one with other numbers. Empty, or why that cannot be done.

    A container has those that were there when it began: MIG instances made since are not among them, and dynamic
    majors are others after NVIDIA's modules were loaded anew.
    """
    path, major, minor = node
    wanted = os.makedev(major, minor)
    try:
        if _is_other_device(path, wanted):
            os.unlink(path)  # noqa: PTH108
        if not os.path.lexists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            os.mknod(path, 0o666 | stat.S_IFCHR, wanted)
    except OSError as error:
        return f"cannot make {path}: {error.strerror}"
    return ""


def _is_other_device(path: str, wanted: int) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev != wanted


def _mount_own() -> None:
    """In a mount namespace of its own, which hears of mounts outside and tells of none."""
    library = ctypes.CDLL(None, use_errno=True)
    _done(library.unshare(CLONE_NEWNS), "unshare")
    _done(library.mount(None, b"/", None, MS_REC | MS_SLAVE, None), "mount")
    _done(library.mount(b"tmpfs", DEV.encode(), b"tmpfs", MS_NOSUID, SIZE), "mount")


def _done(status: int, call: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
