"""Where the driver's libraries and programs are looked for: as distributions and the GPU Operator lay them out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from partita_plugins.backends.nvml.library import SONAME, find_library
from partita_plugins.rooted import seen


def laid_out(root: Path, file: str, **links: str) -> Path:
    """A node with one file, and links by their place."""
    for place in (file, *links):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / file).touch()
    for place, target in links.items():
        (root / place).symlink_to(target)
    return root


@pytest.mark.parametrize(
    ("file", "links"),
    [
        (f"usr/lib64/{SONAME}", {}),
        (f"run/nvidia/driver/usr/lib/x86_64-linux-gnu/{SONAME}", {}),
        (
            f"usr/lib/x86_64-linux-gnu/nvidia/current/{SONAME}",
            {
                f"usr/lib/x86_64-linux-gnu/{SONAME}": "/etc/alternatives/nvml",
                "etc/alternatives/nvml": f"../../usr/lib/x86_64-linux-gnu/nvidia/current/{SONAME}",
            },
        ),
        (f"opt/nvidia/{SONAME}", {"usr/lib64": "/opt/nvidia"}),
    ],
)
def test_the_library_is_found(file: str, links: dict[str, str], tmp_path: Path) -> None:
    assert find_library([laid_out(tmp_path, file, **links)]) == tmp_path / file


def test_a_node_without_the_library_leaves_it_to_the_loader(tmp_path: Path) -> None:
    laid_out(tmp_path, "usr/lib64/libcuda.so.1", **{f"usr/lib64/{SONAME}": "/etc/alternatives/gone"})
    assert find_library([tmp_path]) is None


def test_links_in_a_circle_and_out_of_the_root_end(tmp_path: Path) -> None:
    laid_out(tmp_path, "file", a="/b", b="/a", up="../../../file")
    assert not os.path.lexists(seen(tmp_path, "/a/file"))
    assert seen(tmp_path, "/up") == tmp_path / "file"
