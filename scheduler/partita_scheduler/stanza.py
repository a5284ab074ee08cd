"""The stanza that makes kube-scheduler ask us, with the reason beside every line that is not obvious."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PRESETS: Mapping[str, int] = MappingProxyType({"strong": 5, "mild": 1})
"""Weights. With 5, our first choice wins against the in-tree plugins at their most opinionated; with 1, about half."""

_TLS = """\
    enableHTTPS: true
    tlsConfig:                   # without caFile kube-scheduler would silently verify nothing
      caFile: {folder}/ca.crt
      certFile: {folder}/client.crt
      keyFile: {folder}/client.key
"""

_SERVER_NAME = """\
      serverName: {name}   # in the extender's certificate, whatever the address above
"""

_STANZA = """\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
extenders:
  - urlPrefix: {url}
    filterVerb: filter
    prioritizeVerb: prioritize
    weight: {weight}                    # {meaning}
    nodeCacheCapable: true       # send node names, not whole nodes
    ignorable: true              # pods go on without us when we are down
    httpTimeout: 500ms           # an answer takes milliseconds; the default of 5s would hold every pod up
    # No managedResources: pods with resource claims would never match, and not be sent.
"""

_MEANING = MappingProxyType(
    {
        True: "our first choice wins; it overrides spreading and preferred affinity between nodes that fit",
        False: "our scores count beside those of the in-tree plugins",
    }
)


def stanza(*, url: str, weight: int, certificates: str, server_name: str = "") -> str:
    """YAML for `kube-scheduler --config`. `certificates` is a folder on kube-scheduler's host; used with https only."""
    text = _STANZA.format(url=url, weight=weight, meaning=_MEANING[weight >= PRESETS["strong"]])
    if not url.startswith("https:"):
        return text
    name = _SERVER_NAME.format(name=server_name) if server_name else ""
    return text + _TLS.format(folder=certificates) + name
