"""CDI files: how a container runtime learns which device nodes and environment a claim's devices are.

One file for each claim, so that undoing a claim is removing a file. Field names and version rules: CDI specification
0.5.0 and 0.6.0.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from partita_driver.cdi.lint import CDI_KIND, CdiDevice, CdiSpec, ContainerEdits, lint, version_for
from partita_driver.fault_points import reached
from partita_plugins.errors import Retryable
from partita_plugins.wire import DRIVER_NAME

log = structlog.get_logger(__name__)

CommonEdits = Callable[[], ContainerEdits]
"""Says what every claim's container gets: libraries and hooks of this node. Raises Retryable if it cannot say."""

VOID = "NVIDIA_VISIBLE_DEVICES=void"
"""Keeps NVIDIA's own runtime from adding all GPUs of the node."""

_FILE = re.compile(rf"^{re.escape(DRIVER_NAME)}-claim_(?P<uid>[A-Za-z0-9-]{{1,64}})\.json$")
_TEMPORARY = f".{DRIVER_NAME}-claim_"
_UID = re.compile(r"^[A-Za-z0-9-]{1,64}$")
_UNSAFE = re.compile(r"[^A-Z0-9]")


def cdi_device_name(claim_uid: str, device: str, share_id: str | None) -> str:
    """Name of one device within the claim's file."""
    return f"{claim_uid}-{device}" + (f"-{share_id}" if share_id else "")


def cdi_id(name: str) -> str:
    """What the kubelet passes on to the container runtime."""
    return f"{CDI_KIND}={name}"


def environment(request: str, index: int, values: dict[str, str]) -> list[str]:
    """What a program is told of one device: PARTITA_<REQUEST>_<INDEX>_<KEY>, never the same for two devices."""
    prefix = f"PARTITA_{_UNSAFE.sub('_', request.upper())}_{index}"
    return [f"{prefix}_{key}={value}" for key, value in sorted(values.items())]


class CdiFolder:
    """The folder that container runtimes read CDI files from; only files of our claims are ever touched."""

    def __init__(self, folder: Path, common: CommonEdits = ContainerEdits, *, host_root: Path = Path("/")) -> None:
        """`host_root` is where this process sees the node's root, with the device nodes that files name."""
        self._folder, self._common, self._host_root = folder, common, host_root

    def write(self, claim_uid: str, devices: list[CdiDevice]) -> None:
        """Check and put a claim's file, whole or not at all. Raises Retryable with what is wrong."""
        spec = self._spec(devices)
        if findings := lint(spec, self._host_root):
            raise Retryable(
                f"the CDI file of claim {claim_uid} would not work: {'; '.join(findings[:4])}",
                delay_seconds=2.0,
                advice="look for the device nodes on the node: `nvidia-modprobe -u -c=0`, or restart the NVIDIA driver",
            )
        path = self._path(claim_uid)
        data = msgspec.json.format(msgspec.json.encode(spec), indent=2)
        try:
            if path.exists() and path.read_bytes() == data:
                return
            self._put(path, data)
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def remove(self, claim_uid: str) -> None:
        """Take a claim's file away; none there is a success. Raises Retryable if it stays."""
        try:
            self._path(claim_uid).unlink(missing_ok=True)
            reached("cdi-removed")
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def exists(self, claim_uid: str) -> bool:
        """Whether the claim's file is there."""
        return self._path(claim_uid).exists()

    def read(self, claim_uid: str) -> bytes | None:
        """The claim's file as it is; None where there is none."""
        try:
            return self._path(claim_uid).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def claims(self) -> dict[str, tuple[str, ...]]:
        """Claims that have a file, and the names of their devices; no names where it cannot be read."""
        found: dict[str, tuple[str, ...]] = {}
        for path in sorted(self._folder.glob(f"{DRIVER_NAME}-claim_*.json")):
            if match := _FILE.match(path.name):
                found[match["uid"]] = _device_names(path)
        return found

    def sweep(self) -> None:
        """Remove what a kill left half-written; nothing may be writing meanwhile. Raises OSError."""
        for path in self._folder.glob(f"{_TEMPORARY}*"):
            path.unlink(missing_ok=True)
        reached("cdi-swept")

    def _spec(self, devices: list[CdiDevice]) -> CdiSpec:
        common = self._common()
        common = msgspec.structs.replace(common, env=[VOID, *(entry for entry in common.env if entry != VOID)])
        spec = CdiSpec(cdi_version="0.5.0", kind=CDI_KIND, devices=devices, container_edits=common)
        return msgspec.structs.replace(spec, cdi_version=version_for(spec))

    def _path(self, claim_uid: str) -> Path:
        if not _UID.match(claim_uid):
            raise ValueError(f"{claim_uid[:64]!r} is not a UID")
        return self._folder / f"{DRIVER_NAME}-claim_{claim_uid}.json"

    def _put(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Runtimes read files by suffix: this one is invisible to them until it is whole.
        temporary = path.with_name(f".{path.name}.new")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            reached("cdi-written")
            temporary.replace(path)
            reached("cdi-renamed")
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


class _Names(msgspec.Struct):
    name: str


class _File(msgspec.Struct):
    devices: list[_Names]


def _device_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(device.name for device in msgspec.json.decode(path.read_bytes(), type=_File).devices)
    except (OSError, msgspec.DecodeError) as error:
        log.warning("CDI file cannot be read", path=str(path), error=str(error))
        return ()


def _unwritable(folder: Path, error: OSError) -> Retryable:
    what = "is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"cannot be written: {error}"
    return Retryable(f"the CDI folder {folder} {what}", delay_seconds=5.0, advice=f"free space in {folder}")
