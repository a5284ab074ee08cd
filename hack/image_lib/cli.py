"""The command line of `hack/image`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from hack.image_lib import archive, base, prerequisites, wheels
from hack.image_lib.buildah import Buildah
from hack.image_lib.cache import Cache, cache_folder, digest, digest_of_files, digest_of_large
from hack.image_lib.commands import ImageError
from hack.image_lib.target import Target

DEFAULT_TAG = "partita.dev/partita:dev"
DEFAULT_OUTPUT = wheels.ROOT / "dist" / "partita.oci.tar"
CONTAINERFILE = wheels.ROOT / "Containerfile"


def main(arguments: list[str]) -> int:
    """Build the image and return the exit code."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        prerequisites.require(need_base=options.base_archive is None)
        cache = Cache(cache_folder() / "image")
        with cache.alone():
            made = image(cache, options.tag, options.base_archive, fresh_base=options.fresh_base)
            archive.deliver(made, options.output)
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}  {options.tag}  {size:.0f} MB  {time.monotonic() - started:.1f} s")
    return 0


def image(cache: Cache, tag: str, base_archive: Path | None, *, fresh_base: bool) -> Path:
    """The archive in the cache, built if anything it is made from has changed."""
    rootfs = base_archive or base.base_archive(cache, fresh=fresh_base)
    if not rootfs.is_file():
        raise ImageError(f"there is no file {rootfs}; name a tar of a root file system")
    base_key = digest_of_large(rootfs)
    locks = digest_of_files(wheels.ROOT, [CONTAINERFILE, *(wheels.ROOT / "requirements").glob("*.txt")])
    sources = wheels.source_digest()

    def make(target: Path) -> None:
        buildah = Buildah(cache.folder / "storage")
        buildah.prune()
        name = f"localhost/partita-base:{base_key}"
        if not buildah.has(name):
            buildah.import_base(rootfs, name)
        python = Target.parse(buildah.probe(name))
        with tempfile.TemporaryDirectory(dir=cache.folder, prefix=".context-") as scratch:
            context = Path(scratch) / "context"
            shutil.copytree(wheels.dependencies(cache, python), context / "dependencies")
            shutil.copytree(wheels.product(cache, sources), context / "partita")
            shutil.copyfile(CONTAINERFILE, context / "Containerfile")
            buildah.build(context, name, tag)
            buildah.call("push", "--quiet", tag, f"oci:{scratch}/layout")
            archive.pack(Path(scratch) / "layout", tag, target)

    return cache.get("archives", digest(base_key, locks, sources, tag), f"Image {tag}", make)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack/image", description="Build the container image as an OCI archive.")
    parser.add_argument("--tag", default=DEFAULT_TAG, help=f"name of the image (default {DEFAULT_TAG})")
    parser.add_argument(
        "--base-archive",
        type=Path,
        metavar="FILE",
        help="tar of a Debian root file system with Python 3.11 to 3.13 and its venv module"
        f" (default: Debian {base.SUITE} from the mirrors that apt uses here)",
    )
    parser.add_argument("--fresh-base", action="store_true", help="make the default base again, with today's updates")
    parser.add_argument(
        "--output", type=Path, default=DEFAULT_OUTPUT, metavar="FILE", help="the archive (default dist/partita.oci.tar)"
    )
    return parser
