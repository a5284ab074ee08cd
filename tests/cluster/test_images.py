"""The OCI archive that every node has its images from."""

import hashlib
import io
import json
import tarfile
from typing import Any

from hack.realcluster import images

PROGRAM = b"\x7fELF a program"
IMAGES = (images.Image("example.dev/one:1", ("/bin/sh",)), images.Image("example.dev/two:2", ("/bin/sleep", "9")))


def read(archive: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
    return found


def build() -> dict[str, bytes]:
    return read(images.archive(PROGRAM, ["sh", "ls", "busybox"], "amd64", IMAGES))


def blob(files: dict[str, bytes], entry: dict[str, Any]) -> bytes:
    return files["blobs/sha256/" + entry["digest"].removeprefix("sha256:")]


def test_every_blob_is_named_by_its_content() -> None:
    for name, content in build().items():
        if name.startswith("blobs/sha256/"):
            assert name.rsplit("/", 1)[1] == hashlib.sha256(content).hexdigest()


def test_each_image_leads_from_its_name_to_its_command() -> None:
    files = build()
    index = json.loads(files["index.json"])
    found = {}
    for entry in index["manifests"]:
        manifest = json.loads(blob(files, entry))
        config = json.loads(blob(files, manifest["config"]))
        found[entry["annotations"]["io.containerd.image.name"]] = tuple(config["config"]["Cmd"])
        for part in (manifest["config"], *manifest["layers"]):
            assert part["size"] == len(blob(files, part))
    assert found == {image.name: image.command for image in IMAGES}


def test_the_same_input_gives_the_same_bytes() -> None:
    first = images.archive(PROGRAM, ["sh", "ls"], "amd64", IMAGES)
    assert first == images.archive(PROGRAM, ["ls", "sh", "sh"], "amd64", IMAGES)


def test_the_root_has_busybox_once_and_a_link_for_each_applet() -> None:
    with tarfile.open(fileobj=io.BytesIO(images.root_layer(PROGRAM, ["sh", "busybox", "ls"]))) as tar:
        members = {member.name: member for member in tar.getmembers()}
        assert [name for name in tar.getnames() if name == "bin/busybox"] == ["bin/busybox"]
    assert members["bin/busybox"].isreg()
    assert members["bin/busybox"].mode == 0o755
    assert {name: members[name].linkname for name in ("bin/sh", "bin/ls")} == {"bin/sh": "busybox", "bin/ls": "busybox"}
    assert members["tmp"].mode == 0o1777
