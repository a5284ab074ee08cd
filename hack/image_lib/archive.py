"""An image in one tar file that containerd, podman and others import under its own name."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path


def pack(layout: Path, tag: str, target: Path) -> None:
    """Write an OCI layout as an archive. containerd names what it imports by the annotation set here."""
    index_file = layout / "index.json"
    index = json.loads(index_file.read_text())
    for manifest in index["manifests"]:
        manifest["annotations"] = {"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag}
    index_file.write_text(json.dumps(index, sort_keys=True))
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(layout.rglob("*")):
            tar.add(file, arcname=str(file.relative_to(layout)), recursive=False, filter=_anonymous)


def deliver(archive: Path, output: Path) -> None:
    """Copy an archive to where it was asked for; a reader never sees half of it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.part")
    shutil.copyfile(archive, unfinished)
    unfinished.rename(output)


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info
