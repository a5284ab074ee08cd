"""An administrator takes a node's GPUs out of service by a DeviceTaintRule, as docs/health.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from partita_plugins.kube.optional import served
from partita_plugins.kube.resources import DEVICE_TAINT_RULES
from partita_plugins.wire import DRIVER_NAME, pool_name
from tests.e2e.installation import Installation
from tests.e2e.lab import ROOT, Lab, request

DRAIN = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "health.md").read_text(encoding="utf-8"), re.DOTALL)[0]
"""The rule that the page shows, for node-a."""


def test_pods_go_elsewhere_while_a_rule_taints_a_nodes_gpus_and_wait_where_nothing_else_is_left(
    lab: Lab, installation: Installation
) -> None:
    installation.become({"node-a": "hgx-h100", "node-b": "rtx-pro-6000-x8"})
    try:
        first = _started(lab, "before", count=2)
        assert first == "node-a", "two GPUs belong together over NVLink"
        with _ruled(lab, DRAIN):
            assert _started(lab, "during", count=2) == "node-b"
            assert lab.node_of("before") == "node-a", "NoSchedule lets pods finish"
            with _ruled(lab, DRAIN.replace("node-a", "node-b")):
                lab.claim("waits", request(count=2))
                lab.pod("waits", claim="waits")
                told = lab.event("waits", "GpuPlacement", "rule drain-node-b")
                for node in ("node-a", "node-b"):
                    assert f"every GPU tainted by rule drain-{node} (example.com/drain=maintenance:NoSchedule)" in told
            lab.running("waits")
            assert lab.node_of("waits") == "node-b"
        assert _started(lab, "after", count=2) == "node-a"
    finally:
        lab.delete_pod(*[name for name in ("before", "during", "waits", "after") if lab.read_pod(name)])
        installation.become({"node-a": "hgx-h100", "node-b": "hgx-h100"})


def _started(lab: Lab, name: str, *, count: int) -> str:
    """The node on which a new pod with so many GPUs runs."""
    lab.claim(name, request(count=count))
    lab.pod(name, claim=name)
    lab.running(name)
    return lab.node_of(name)


@contextmanager
def _ruled(lab: Lab, rule: str) -> Iterator[None]:
    """While a rule holds; in the version in which this cluster has rules."""
    version = served(lab.api, DEVICE_TAINT_RULES)
    assert version is not None
    text = rule.replace("resource.k8s.io/v1\n", f"{version.group_version}\n")
    lab.kubectl("apply", "-f", "-", stdin=text)
    try:
        yield
    finally:
        lab.kubectl("delete", "-f", "-", stdin=text)


def test_a_claim_that_tolerates_the_rule_is_served(lab: Lab, installation: Installation) -> None:
    """The driver knows nothing of rules: what kube-scheduler allocates is prepared."""
    with _ruled(lab, DRAIN):
        tolerates = [{"key": "example.com/drain", "operator": "Exists"}]
        assert lab.holds("tolerant", "node-a", DRIVER_NAME, tolerations=tolerates)
        [result] = lab.allocated("tolerant")
        assert result.pool == pool_name("node-a")
