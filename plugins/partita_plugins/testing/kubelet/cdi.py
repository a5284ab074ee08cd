"""CDI as a container runtime reads it: files in a folder, devices by their full name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from partita_plugins.testing.kubeapi import Json
from partita_plugins.testing.kubelet.views import Edits

FILE_BYTES_MAX = 4 * 1024 * 1024
FILES_MAX = 10_000


class CdiError(Exception):
    """A device cannot be given to a container; the text is what a container runtime says."""


class CdiFolder:
    """The CDI files of a node, read anew each time: a driver may have just written one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def apply(self, ids: Iterable[str], edits: Edits) -> None:
        """Add what the devices bring; refused as a whole if one of them is unknown or defined twice."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return
        found: dict[str, list[tuple[Path, Json, Json]]] = {name: [] for name in wanted}
        for path, spec in self._specs():
            for device in spec.get("devices") or []:
                name = f"{spec.get('kind')}={device.get('name')}"
                if name in found:
                    found[name].append((path, spec, device))
        unresolved = [name for name in wanted if len(found[name]) != 1]
        if unresolved:
            where = {name: [str(path) for path, _, _ in found[name]] for name in unresolved}
            raise CdiError(f"CDI device injection failed: unresolvable CDI devices {', '.join(unresolved)} ({where})")
        applied: set[Path] = set()
        for name in wanted:
            ((path, spec, device),) = found[name]
            try:
                if path not in applied:  # the edits of the file itself count once, with its first device
                    applied.add(path)
                    edits.add(spec.get("containerEdits") or {})
                edits.add(device.get("containerEdits") or {})
            except (AttributeError, KeyError, TypeError) as error:
                raise CdiError(f"CDI device injection failed: {path} has invalid containerEdits: {error!r}") from error

    def _specs(self) -> Iterable[tuple[Path, Json]]:
        """Files that parse. A runtime skips the others, so that one driver's mistake does not stop another's pods."""
        paths = sorted(path for path in self._folder.iterdir() if path.suffix in {".json", ".yaml", ".yml"})
        for path in paths[:FILES_MAX]:
            try:
                if path.stat().st_size > FILE_BYTES_MAX:
                    continue
                body = path.read_bytes()
                spec = msgspec.json.decode(body) if path.suffix == ".json" else msgspec.yaml.decode(body)
            except (OSError, msgspec.DecodeError):
                continue
            if isinstance(spec, dict) and spec.get("cdiVersion"):
                yield path, spec
