"""Where the kubelet finds us: two unix sockets, with names that fit the kernel's limit."""

from __future__ import annotations

import hashlib
import re
import socket
import stat
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from partita_plugins.errors import InvalidInput

log = structlog.get_logger(__name__)

MAX_SOCKET_PATH_BYTES = 107
"""sun_path is 108 bytes with its closing zero."""


ANSWER_SECONDS = 0.5
_UID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SHORT = r"[A-Za-z0-9_-]{11}"
_PLUGIN = re.compile(rf"dra(?:-(?:(?P<uid>{_UID})|{_SHORT}))?\.sock")


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketPaths:
    """Both sockets of one instance of the driver."""

    registrar: Path
    """In the directory that the kubelet watches for plugins."""

    plugin: Path
    """Where Prepare and Unprepare are served; its path is what registration tells the kubelet."""


def socket_paths(driver: str, registry_dir: Path, plugin_dir: Path, pod_uid: str = "") -> SocketPaths:
    """The sockets of a driver; with a pod's UID those of one of two instances during a rolling update.

    The names and their shortened forms are those of Kubernetes' own plugin library, so that leftovers of either can be
    told apart by the kubelet. Raises InvalidInput where even the shortest name is too long.
    """
    if not pod_uid:
        return SocketPaths(
            registrar=_first_that_fits(registry_dir, [f"{driver}-reg.sock"]),
            plugin=_first_that_fits(plugin_dir, ["dra.sock"]),
        )
    short_uid = _digest(pod_uid.encode(), 8)
    both = _digest(f"{driver}\0{pod_uid}".encode(), 16)
    return SocketPaths(
        registrar=_first_that_fits(
            registry_dir, [f"{driver}-{pod_uid}-reg.sock", f"{driver}-{short_uid}-reg.sock", f"dra-{both}-reg.sock"]
        ),
        plugin=_first_that_fits(plugin_dir, [f"dra-{pod_uid}.sock", f"dra-{short_uid}.sock"]),
    )


def sockets_of_any_instance(driver: str, registry_dir: Path, plugin_dir: Path) -> tuple[Path, ...]:
    """The sockets that are there of all instances of a driver, whatever their pods' UIDs, registrars first."""
    ours = re.compile(rf"{re.escape(driver)}-(?:(?:{_UID}|{_SHORT})-)?reg\.sock")
    registrars = {path for path in registry_dir.glob(f"{driver}-*reg.sock") if ours.fullmatch(path.name)}
    plugins = [path for path in sorted(plugin_dir.glob("dra*.sock")) if _PLUGIN.fullmatch(path.name)]
    for path in plugins:
        if uid := _PLUGIN.fullmatch(path.name)["uid"]:  # type: ignore[index]
            # Its registrar may have the shortest name, which says nothing of the driver.
            registrars.add(socket_paths(driver, registry_dir, plugin_dir, uid).registrar)
    return tuple(path for path in (*sorted(registrars), *plugins) if path.is_socket())


def is_served(path: Path) -> bool:
    """Whether a process listens on a socket; one that cannot be asked is left to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True


def remove_socket(path: Path) -> None:
    """Remove a socket file that nobody listens on any more; anything but a socket is left alone."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        return


def remove_dead_sockets(driver: str, registry_dir: Path, plugin_dir: Path) -> None:
    """What killed instances of a driver left, which the kubelet would go on trying. Never raises."""
    for path in sockets_of_any_instance(driver, registry_dir, plugin_dir):
        try:
            if not is_served(path):
                remove_socket(path)
                log.info("socket of a dead instance removed", path=str(path))
        except OSError as error:
            log.warning("socket of a dead instance not removed", path=str(path), error=str(error))


def _digest(data: bytes, length: int) -> str:
    return urlsafe_b64encode(hashlib.sha256(data).digest()[:length]).rstrip(b"=").decode()


def _first_that_fits(directory: Path, names: Iterable[str]) -> Path:
    for name in names:
        if len(str(directory / name).encode()) <= MAX_SOCKET_PATH_BYTES:
            return directory / name
    raise InvalidInput(
        f"a socket in {directory} would have a path of more than {MAX_SOCKET_PATH_BYTES} bytes",
        advice="choose shorter --plugin-dir and --registry-dir",
    )
