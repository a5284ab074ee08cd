"""What each node offers: one ConfigMap, by node label, checked strictly.

nodes:
- selector: {gpu.partita.dev/offer: mig}      # labels that the Node must have; the first match wins
  offer: {whole: true, mig: [1g, 3g], shared: false, groups: [2], monitor: false}
  validation: {prepare: true, idle: true, idleSeconds: 21600, bind: false}
  others: withhold
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from partita_driver.moments import Moment
from partita_plugins.model.offer import Offer
from partita_plugins.strict_yaml import Strict, read_strict

CONFIG_MAP = "partita-nodes"
KEY = "nodes.yaml"
Shape = Literal["1g", "1g-double", "2g", "3g", "4g", "7g"]
SHAPES: tuple[Shape, ...] = ("1g", "1g-double", "2g", "3g", "4g", "7g")


class OfferSettings(Strict, frozen=True, kw_only=True):
    """What a node is meant for. Fewer devices make kube-scheduler faster, so only whole GPUs unless asked for."""

    whole: bool = True
    mig: Literal["all"] | tuple[Shape, ...] = ()
    shared: bool = False
    groups: tuple[Literal[2, 4, 8], ...] = ()
    monitor: bool = False

    @property
    def offer(self) -> Offer:
        shapes = SHAPES if self.mig == "all" else self.mig
        return Offer(
            whole=self.whole,
            mig_shapes=frozenset[str](shapes),
            shared=self.shared,
            group_sizes=frozenset[int](self.groups),
            monitor=self.monitor,
        )


class ValidationSettings(Strict, frozen=True, kw_only=True):
    """When devices are proven to compute."""

    prepare: bool = True
    """Before a container gets one."""

    bind: bool = False
    """Before a pod is bound to the node; kube-scheduler waits, and takes another node where it fails."""

    idle: bool = True
    """While nobody has a GPU: after it was given back, and when it was not looked at for so long."""

    idle_seconds: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(default=6 * 3600, name="idleSeconds")

    def at(self, moment: Moment) -> bool:
        """Whether devices are validated at a moment: a quarantine is lifted by an answer, never by a setting."""
        return {Moment.PREPARE: self.prepare, Moment.IDLE: self.idle}.get(moment, True)


class NodeSettings(Strict, frozen=True, kw_only=True):
    """Settings of the nodes whose labels match."""

    selector: dict[str, str] = msgspec.field(default_factory=dict)
    """Labels with their values; empty matches every node."""

    offer: OfferSettings = OfferSettings()
    validation: ValidationSettings = ValidationSettings()
    others: Literal["withhold", "ignore"] = "withhold"
    """What is done with GPUs that somebody else uses: NVIDIA's device plugin or DRA driver, a stranger's program."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.selector.items())


class Settings(Strict, frozen=True, kw_only=True):
    """All of the file."""

    nodes: tuple[NodeSettings, ...] = ()

    def for_labels(self, labels: Mapping[str, str]) -> NodeSettings:
        """The first entry that matches a node, else the default."""
        return next((entry for entry in self.nodes if entry.matches(labels)), NodeSettings())


def parse_settings(text: str) -> Settings:
    """The settings of `nodes.yaml`. Raises InvalidInput that names the field."""
    advice = "correct the ConfigMap; the settings before it stay in force"
    return read_strict(text, Settings, name=f"{CONFIG_MAP}/{KEY}", advice=advice)
