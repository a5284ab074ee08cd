"""Bring up a real cluster, install Partita on it as a user does, run the scenarios, take everything away.

    python -m hack.e2e                        both Kubernetes versions, all scenarios
    python -m hack.e2e --version 1.37 -k shared --keep
    python -m hack.e2e --backend nvml --version 1.37      the driver on pynvml and the real nvidia-ctk, without a GPU
    python -m hack.e2e --install-only --version 1.37      then try things with hack/cluster kubectl

Needs Linux and root; hack/cluster prerequisites --image says what else, with the command that gets it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hack.realcluster import binaries, modules
from tests.e2e.installation import EXTENDER_NAME, SYSTEM
from tests.e2e.node import all_nodes
from tests.e2e.nvml_node import lay_out

T = TypeVar("T")

BACKENDS = {"simulated": "e2e", "nvml": "e2e-nvml"}
"""Where the driver gets its GPUs from, and the overlay for that."""

CHOSEN = {"simulated": "cluster and not nvml", "nvml": "cluster and not computes"}
"""Scenarios that a backend can play."""

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "hack" / "cluster"
OVERLAYS = {name: ROOT / "manifests" / "overlays" / folder for name, folder in BACKENDS.items()}
STANZA = ROOT / "manifests" / "scheduler-stanza" / "kube-scheduler-config.yaml"
IMAGE = "partita.dev/partita:dev"
VERSIONS = ("1.37", "1.36")
MACHINES = {"node-a": "hgx-h100", "node-b": "hgx-h100"}


def main() -> int:
    options = _options()
    scratch = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "partita" / "e2e"
    scratch.mkdir(parents=True, exist_ok=True)
    archive = scratch / "partita.oci.tar"
    _step("image", lambda: _run(ROOT / "hack" / "image", "--tag", IMAGE, "--output", archive))
    worst = 0
    for version in options.version or VERSIONS:
        worst = max(worst, _one_version(version, archive, scratch, options))
    return worst


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="append", choices=VERSIONS, help="Kubernetes version (default: all)")
    parser.add_argument(
        "--backend", choices=sorted(BACKENDS), default="simulated", help="where GPUs come from (default: simulated)"
    )
    parser.add_argument("-k", metavar="EXPRESSION", help="only scenarios whose name matches, as pytest's -k")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("--install-only", action="store_true", help="install and stop there (implies --keep)")
    return parser.parse_args()


def _one_version(version: str, archive: Path, scratch: Path, options: argparse.Namespace) -> int:
    try:
        _step(f"cluster {version} up", lambda: _run(CLUSTER, "up", "--version", version))
        _step("image into both nodes", lambda: _run(CLUSTER, "load-image", "all", archive))
        if options.backend == "nvml":
            _step("nvidia-ctk", lambda: binaries.build(modules.toolkit()))
        folder = _step("install", lambda: _install(scratch / version, options.backend))
        if options.install_only:
            print(f"installed; PARTITA_E2E_DIR={folder}; hack/cluster down takes it away")
            return 0
        return _scenarios(folder, options)
    finally:
        if not (options.keep or options.install_only):
            _run(CLUSTER, "down")


def _install(folder: Path, backend: str) -> Path:
    """What docs/install.md tells a user, in the same order. Returns the folder that the scenarios need."""
    shutil.rmtree(folder, ignore_errors=True)
    certificates = folder / "certificates"
    folder.mkdir(parents=True)
    hosts = ("--host", "127.0.0.1", "--host", EXTENDER_NAME)
    _run(_script("partita-scheduler"), "certificates", "--out", certificates, *hosts)
    for name, machine in MACHINES.items():
        if backend == "nvml":
            lay_out(all_nodes()[name], machine)
        _kubectl("label", "node", name, f"gpu.partita.dev/simulated-machine={machine}", "--overwrite")
    _write_overlay(folder / "overlay", OVERLAYS[backend])
    apply(folder)
    stanza = folder / "kube-scheduler-config.yaml"
    stanza.write_text(STANZA.read_text().replace("/etc/kubernetes/partita", str(certificates)))
    _run(CLUSTER, "scheduler-config", stanza)
    return folder


def apply(folder: Path) -> None:
    """Install what a folder of `_install` holds, and wait until it serves."""
    certificates = folder / "certificates"
    _kubectl("apply", "-f", str(ROOT / "manifests" / "base" / "namespace.yaml"))
    secret = ("-n", SYSTEM, "create", "secret", "generic", "partita-extender-tls")
    files = {"tls.crt": "server.crt", "tls.key": "server.key", "ca.crt": "ca.crt"}
    _kubectl(*secret, *(f"--from-file={key}={certificates / name}" for key, name in files.items()))
    _kubectl("apply", "-k", str(folder / "overlay"))
    _kubectl("-n", SYSTEM, "rollout", "status", "daemonset/partita-driver", "--timeout=120s")
    _kubectl("-n", SYSTEM, "rollout", "status", "deployment/partita-scheduler", "--timeout=120s")


def _write_overlay(target: Path, overlay: Path) -> None:
    """The e2e overlay with this cluster's API port, as a kustomization of its own."""
    status = json.loads(subprocess.run([CLUSTER, "status", "--json"], check=True, capture_output=True).stdout)
    target.mkdir()
    (target / "kustomization.yaml").write_text(
        json.dumps(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [os.path.relpath(overlay, target)],
                "patches": [
                    {
                        "target": {"kind": "ConfigMap", "name": "partita-api-address"},
                        "patch": json.dumps(
                            [{"op": "replace", "path": "/data/KUBERNETES_SERVICE_PORT", "value": str(_port(status))}]
                        ),
                    }
                ],
            }
        )
    )


def _port(status: dict[str, object]) -> object:
    environment = status["pod_environment"]
    return environment["KUBERNETES_SERVICE_PORT"] if isinstance(environment, dict) else ""


def _scenarios(folder: Path, options: argparse.Namespace) -> int:
    chosen = ["-k", options.k] if options.k else []
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/e2e",
        "-m",
        CHOSEN[options.backend],
        "-v",
        "--durations=10",
        *chosen,
    ]
    environment = {**os.environ, "PARTITA_E2E_DIR": str(folder), "PARTITA_E2E_BACKEND": options.backend}
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    figures = folder / "figures.jsonl"
    print(figures.read_text() if figures.exists() else "", end="")
    return status


def _script(name: str) -> Path:
    return Path(sys.executable).parent / name


def _kubectl(*arguments: str) -> None:
    _run(CLUSTER, "kubectl", *arguments)


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)


def _step(name: str, act: Callable[[], T]) -> T:
    """Do one step and say how long it took."""
    started = time.monotonic()
    print(f"--- {name}", flush=True)
    result = act()
    print(f"--- {name}: {time.monotonic() - started:.1f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
