"""The user's scheduler configuration with this cluster's connection."""

import json

import pytest
import yaml
from hack.realcluster.errors import ClusterError
from hack.realcluster.scheduler_config import merge

OURS = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "clientConnection": {"kubeconfig": "/k"},
    "leaderElection": {"leaderElect": False},
}
STANZA = """\
extenders:
- urlPrefix: https://127.0.0.1:8443
  filterVerb: filter
"""
EXTENDERS = [{"urlPrefix": "https://127.0.0.1:8443", "filterVerb": "filter"}]


def test_nothing_gives_the_default_scheduler() -> None:
    assert yaml.safe_load(merge("", "/k")) == OURS


def test_a_stanza_alone_is_enough() -> None:
    assert yaml.safe_load(merge(STANZA, "/k")) == OURS | {"extenders": EXTENDERS}


def test_a_whole_configuration_loses_only_what_this_cluster_sets() -> None:
    text = f"""\
---
# for the cluster we run in production
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: /etc/kubernetes/scheduler.conf
  qps: 100
leaderElection:
  leaderElect: true

{STANZA}parallelism: 4
"""
    assert yaml.safe_load(merge(text, "/k")) == OURS | {"extenders": EXTENDERS, "parallelism": 4}


def test_json_is_taken_too() -> None:
    text = json.dumps({"extenders": EXTENDERS, "leaderElection": {"leaderElect": True}})
    assert yaml.safe_load(merge(text, "/k")) == OURS | {"extenders": EXTENDERS}


@pytest.mark.parametrize("text", ["{ no json", f"{STANZA}---\n{STANZA}", "? odd\n"])
def test_what_cannot_be_merged_is_refused(text: str) -> None:
    with pytest.raises(ClusterError):
        merge(text, "/k")
