"""The stanza that makes kube-scheduler ask us, with the reason beside every line that is not obvious."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from partita_plugins.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How much our choice counts, and how long a pod may wait for it."""

    timeout_milliseconds: int
    ignorable: bool
    meaning: str
    """What our choice overrides, for the comment beside it."""

    when_down: str
    """What happens to pods while we do not answer."""

    weight: int = 0
    """Our first choice is ahead of the rest by AHEAD times this; the in-tree plugins give 100 times their own weights,
    which are 1 to 3 by default, and 14 together. 0: it is the only node that we leave them."""

    @property
    def verbs(self) -> tuple[str, ...]:
        """What kube-scheduler asks about each pod."""
        return ("filter", "prioritize") if self.weight else ("choose",)


AHEAD = 50
"""The scores' gap of 5, times ten as kube-scheduler counts them."""

ONE_NODE = "a pod with claims of ours is left one node, any other pod all"
DEFAULT = "sole"
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "strict": Preset(
            timeout_milliseconds=2000,
            ignorable=False,
            meaning=ONE_NODE,
            when_down="while we are down no pod of the cluster is scheduled",
        ),
        DEFAULT: Preset(
            timeout_milliseconds=500,
            ignorable=True,
            meaning=ONE_NODE,
            when_down="pods go on without us when we are down",
        ),
        "strong": Preset(
            weight=5,
            timeout_milliseconds=500,
            ignorable=True,
            meaning="wins against any one of the usual plugins, which give 100 or 200",
            when_down="pods go on without us when we are down",
        ),
        "mild": Preset(
            weight=1,
            timeout_milliseconds=200,
            ignorable=True,
            meaning="counts beside the in-tree plugins, which give 100 or 200",
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
{asks}{preempt}    nodeCacheCapable: true       # send node names, not whole nodes
    ignorable: {ignorable:<17} # {when_down}
    httpTimeout: {timeout:<15} # an answer takes milliseconds; the default of 5s would hold every pod up
    # No managedResources: pods with resource claims would never match, and not be sent.
"""

_CHOOSE = """\
    filterVerb: choose           # {meaning}
"""

_WEIGH = """\
    filterVerb: filter
    prioritizeVerb: prioritize
    weight: {weight:<20} # {meaning}
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
    """YAML for `kube-scheduler --config`. `certificates` is a folder on kube-scheduler's host; used with https only.

    Raises InvalidInput for a weight where nothing is weighed.
    """
    chosen = PRESETS[preset]
    text = _STANZA.format(
        url=url,
        asks=_asks(chosen, preset, weight),
        preempt=_PREEMPT if preempt else "",
        ignorable="true" if chosen.ignorable else "false",
        when_down=chosen.when_down,
        timeout=f"{chosen.timeout_milliseconds}ms",
    )
    if not url.startswith("https:"):
        return text
    name = _SERVER_NAME.format(name=server_name) if server_name else ""
    return text + _TLS.format(folder=certificates) + name


def _asks(chosen: Preset, preset: str, weight: int | None) -> str:
    """What kube-scheduler asks, and how much the answer counts."""
    weighing = {name: one for name, one in PRESETS.items() if one.weight}
    if preset not in weighing:
        if weight is not None:
            raise InvalidInput(
                f"the preset {preset} leaves one node, and weighs none",
                advice=f"drop --weight, or add --preset {' or '.join(weighing)}",
            )
        return _CHOOSE.format(meaning=chosen.meaning)
    own = weight or chosen.weight
    # A weight of somebody's own overrides what the strongest preset does that it reaches.
    reached = max((one for one in weighing.values() if one.weight <= own), key=lambda one: one.weight)
    return _WEIGH.format(weight=own, meaning=f"our first choice is ahead by {AHEAD * own}: it {reached.meaning}")
