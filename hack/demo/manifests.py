"""The manifests as a user applies them, read from the repository's YAML files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from partita_plugins.testing.apiserver import LocalApi

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "manifests" / "base"
EXAMPLES = ROOT / "manifests" / "examples"

NOT_STORED = frozenset(
    {"DaemonSet", "Deployment", "NetworkPolicy", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
)
"""The workloads run as processes of this machine; the others need a network or an admission chain."""


def read_folder(folder: Path) -> Iterator[Json]:
    """All objects of a kustomization and of those that it names, in its order."""
    for entry in yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]:
        path = folder / entry
        if path.is_dir():
            yield from read_folder(path)
        else:
            yield from (found for found in yaml.safe_load_all(path.read_text(encoding="utf-8")) if found)


def apply_base(api: LocalApi) -> Counter[str]:
    """Install what manifests/base installs; how many of each kind."""
    counts: Counter[str] = Counter()
    for found in read_folder(BASE):
        if found["kind"] not in NOT_STORED:
            api.apply(found)
            counts[found["kind"]] += 1
    return counts


def apply_example(api: LocalApi, folder: str) -> list[Json]:
    """Submit one example to the namespace `default`; its objects."""
    found = list(read_folder(EXAMPLES / folder))
    for obj in found:
        api.apply(obj)
    return found


def example_folders() -> set[str]:
    return {path.parent.name for path in EXAMPLES.glob("*/kustomization.yaml")}
