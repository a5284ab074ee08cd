"""What each node offers: one ConfigMap, by node label, checked strictly.

nodes:
- selector: {gpu.partita.dev/offer: mig}      # labels that the Node must have; the first match wins
  offer: {whole: true, mig: [1g, 3g], shared: false, groups: [2], monitor: false}
  validation: {prepare: true, idle: true, idleSeconds: 21600, bind: false}
  others: withhold
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import yaml

from partita_driver.moments import Moment
from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import Offer

CONFIG_MAP = "partita-nodes"
KEY = "nodes.yaml"
MAX_TEXT = 1 << 20
"""A ConfigMap cannot hold more."""

NOT_A_VALUE = (ValueError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for a scalar that is not what its tag or its looks promise, such as the date 2024-99-99."""

Shape = Literal["1g", "1g-double", "2g", "3g", "4g", "7g"]
SHAPES: tuple[Shape, ...] = ("1g", "1g-double", "2g", "3g", "4g", "7g")


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what people write: an unknown field is an error that names it."""


class OfferSettings(_Strict, frozen=True, kw_only=True):
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


class ValidationSettings(_Strict, frozen=True, kw_only=True):
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


class NodeSettings(_Strict, frozen=True, kw_only=True):
    """Settings of the nodes whose labels match."""

    selector: dict[str, str] = {}
    """Labels with their values; empty matches every node."""

    offer: OfferSettings = OfferSettings()
    validation: ValidationSettings = ValidationSettings()
    others: Literal["withhold", "ignore"] = "withhold"
    """What is done with GPUs that somebody else uses: NVIDIA's device plugin or DRA driver, a stranger's program."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.selector.items())


class Settings(_Strict, frozen=True, kw_only=True):
    """All of the file."""

    nodes: tuple[NodeSettings, ...] = ()

    def for_labels(self, labels: Mapping[str, str]) -> NodeSettings:
        """The first entry that matches a node, else the default."""
        return next((entry for entry in self.nodes if entry.matches(labels)), NodeSettings())


def parse_settings(text: str) -> Settings:
    """The settings of `nodes.yaml`. Raises InvalidInput that names the field."""
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"{KEY} has more than {MAX_TEXT} characters")
    try:
        written = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
        return msgspec.convert({} if written is None else written, Settings)
    except (yaml.YAMLError, msgspec.ValidationError, RecursionError, *NOT_A_VALUE) as error:
        where = " ".join(str(error).split())
        raise InvalidInput(
            f"{CONFIG_MAP}/{KEY}: {where}", advice="correct the ConfigMap; the settings before it stay in force"
        ) from error


class _UniqueKeys(yaml.SafeLoader):
    """YAML as data, without keys that are written twice and without references."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="references are not taken")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is written twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)
