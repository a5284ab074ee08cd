"""buildah with a storage of its own, so that a build leaves nothing in the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hack.image_lib.commands import run
from hack.image_lib.target import PROBE

_ENVIRONMENT = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
"""Neither needs anything of the kernel but root: no overlay, no namespaces."""

MAX_IMAGES = 16
"""Layers that earlier builds left, before all are dropped: vfs keeps each as a full copy."""

_ADVICE = "If it goes on failing, remove the folder of the image cache and try again."


@dataclass(frozen=True, slots=True)
class Buildah:
    """One storage."""

    folder: Path

    def call(self, verb: str, *arguments: str | Path) -> str:
        """Standard output of one buildah command."""
        storage = ("--root", self.folder / "root", "--runroot", self.folder / "run")
        return run("buildah", *storage, verb, *arguments, environment=_ENVIRONMENT, advice=_ADVICE).strip()

    def prune(self) -> None:
        """Forget all layers once there are many."""
        if len(self.call("images", "--all", "--quiet").splitlines()) > MAX_IMAGES:
            self.call("rmi", "--all", "--force")

    def has(self, name: str) -> bool:
        return bool(self.call("images", "--quiet", "--filter", f"reference={name}"))

    def import_base(self, archive: Path, name: str) -> None:
        """Make an image of one layer from a root file system."""
        container = self.call("from", "scratch")
        try:
            self.call("add", container, archive, "/")
            self.call("commit", "--quiet", container, name)
        finally:
            self.call("rm", container)

    def probe(self, name: str) -> str:
        """What the image's Python says about itself."""
        container = self.call("from", name)
        try:
            return self.call("run", container, "--", "python3", "-c", PROBE)
        finally:
            self.call("rm", container)

    def build(self, context: Path, base: str, name: str) -> None:
        """Build the Containerfile of a context; unchanged steps come from the storage."""
        options = ("--layers", "--pull-never", "--timestamp=0", "--quiet")
        self.call("build", *options, f"--build-arg=BASE={base}", f"--tag={name}", context)
