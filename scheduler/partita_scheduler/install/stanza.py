"""The stanza that makes kube-scheduler ask us, with the reason beside every line that is not obvious."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How much our choice counts, and how long a pod may wait for it."""

    weight: int
    """Our first choice is ahead of the rest by 50 times this; the in-tree plugins give 100 times their own weights,
    which are 1 to 3 by default, and 14 together."""

    timeout_milliseconds: int
    ignorable: bool
    meaning: str
    """What it overrides, for the comment beside the weight."""

    when_down: str
    """What happens to pods while we do not answer."""


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "strict": Preset(
            weight=30,
            timeout_milliseconds=2000,
            ignorable=False,
            meaning="our first choice wins against all in-tree plugins together: 1500 against 1400",
            when_down="while we are down no pod of the cluster is scheduled",
        ),
        "strong": Preset(
            weight=5,
            timeout_milliseconds=500,
            ignorable=True,
            meaning="our first choice wins against any one of the usual plugins: 250 against 100 or 200",
            when_down="pods go on without us when we are down",
        ),
        "mild": Preset(
            weight=1,
            timeout_milliseconds=200,
            ignorable=True,
            meaning="our scores count beside those of the in-tree plugins: 50 against 100 or 200",
            when_down="pods go on without us when we are down",
        ),
    }
)

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
{preempt}    weight: {weight:<20} # {meaning}
    nodeCacheCapable: true       # send node names, not whole nodes
    ignorable: {ignorable:<17} # {when_down}
    httpTimeout: {timeout:<15} # an answer takes milliseconds; the default of 5s would hold every pod up
    # No managedResources: pods with resource claims would never match, and not be sent.
"""

_PREEMPT = """\
    preemptVerb: preempt         # passes through: every candidate for eviction stays one
"""


def stanza(
    *,
    url: str,
    preset: str,
    certificates: str,
    weight: int | None = None,
    preempt: bool = False,
    server_name: str = "",
) -> str:
    """YAML for `kube-scheduler --config`. `certificates` is a folder on kube-scheduler's host; used with https only."""
    chosen = PRESETS[preset]
    own = weight if weight is not None else chosen.weight
    text = _STANZA.format(
        url=url,
        preempt=_PREEMPT if preempt else "",
        weight=own,
        meaning=chosen.meaning if own == chosen.weight else _meaning(own),
        ignorable="true" if chosen.ignorable else "false",
        when_down=chosen.when_down,
        timeout=f"{chosen.timeout_milliseconds}ms",
    )
    if not url.startswith("https:"):
        return text
    name = _SERVER_NAME.format(name=server_name) if server_name else ""
    return text + _TLS.format(folder=certificates) + name


def _meaning(weight: int) -> str:
    """What a weight of somebody's own overrides: as the strongest preset that it reaches."""
    reached = [preset for preset in PRESETS.values() if preset.weight <= weight]
    return max(reached, key=lambda preset: preset.weight).meaning
