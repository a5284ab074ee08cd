"""The images every node has: written as an OCI archive from the system's static busybox, nothing fetched."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.realcluster.errors import ClusterError

BUSYBOX_IMAGE = "partita.dev/busybox:1"
PAUSE_IMAGE = "partita.dev/pause:1"

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# As long as a pod can live; busybox counts the seconds in an int.
_PAUSE = ("/bin/sleep", "2147483647")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MEDIA = "application/vnd.oci.image"


@dataclass(frozen=True, slots=True)
class Image:
    """A name and the command that a container of it runs unless told otherwise."""

    name: str
    command: tuple[str, ...]


IMAGES = (Image(BUSYBOX_IMAGE, ("/bin/sh",)), Image(PAUSE_IMAGE, _PAUSE))


def build(machine: str) -> bytes:
    """Return the archive of the cluster's images, made from this machine's busybox."""
    busybox = shutil.which("busybox")
    if busybox is None:
        msg = "There is no busybox: hack/cluster prerequisites --install gets it."
        raise ClusterError(msg)
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    architecture = _ARCHITECTURES.get(machine, machine)
    return archive(Path(busybox).read_bytes(), listed.stdout.split(), architecture, IMAGES)


def archive(busybox: bytes, applets: Iterable[str], architecture: str, images: Iterable[Image]) -> bytes:
    """Return an OCI archive with these images; the same input gives the same bytes."""
    layer = root_layer(busybox, applets)
    blobs = _Blobs()
    layer_entry = blobs.add(f"{_MEDIA}.layer.v1.tar+gzip", gzip.compress(layer, compresslevel=1, mtime=0))
    manifests = []
    for image in images:
        config = blobs.add_json(f"{_MEDIA}.config.v1+json", _config(image, architecture, layer))
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": config,
            "layers": [layer_entry],
        }
        entry = blobs.add_json(f"{_MEDIA}.manifest.v1+json", manifest)
        # containerd names what it imports by this annotation.
        manifests.append({**entry, "annotations": {"io.containerd.image.name": image.name}})
    index = {"schemaVersion": 2, "mediaType": f"{_MEDIA}.index.v1+json", "manifests": manifests}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _dump(index), **blobs.files}
    return _tar((_file(name, 0o644), content) for name, content in files.items())


def root_layer(busybox: bytes, applets: Iterable[str]) -> bytes:
    """Return a root file system as a tar: busybox, a link for each of its applets, and the usual folders."""
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "usr/bin", "var"):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
        members.append((folder, b""))
    members.append((_file("bin/busybox", 0o755), busybox))
    for applet in sorted(set(applets) - {"busybox"}):
        link = tarfile.TarInfo(f"bin/{applet}")
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
        members.append((link, b""))
    members.append((_file("etc/passwd", 0o644), b"root:x:0:0:root:/root:/bin/sh\n"))
    members.append((_file("etc/group", 0o644), b"root:x:0:\n"))
    return _tar(members)


def _config(image: Image, architecture: str, layer: bytes) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": [_PATH], "Cmd": list(image.command)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }


@dataclass(slots=True)
class _Blobs:
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, media_type: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def add_json(self, media_type: str, value: dict[str, Any]) -> dict[str, Any]:
        return self.add(media_type, _dump(value))


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _file(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = mode
    return info


def _tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()
