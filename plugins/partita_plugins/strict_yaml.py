"""YAML that people write, as values: unknown fields, keys written twice, references and wrong types are errors."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import yaml

from partita_plugins.errors import InvalidInput

MAX_TEXT = 1 << 20
"""A ConfigMap cannot hold more."""

NOT_A_VALUE = (ValueError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for a scalar that is not what its tag or its looks promise, such as the date 2024-99-99."""

T = TypeVar("T")


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what people write: an unknown field is an error that names it."""


def read_strict(text: str, as_: type[T], *, name: str, advice: str) -> T:
    """The value; an empty text is one without fields. Raises InvalidInput that names the text and the field."""
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"{name} has more than {MAX_TEXT} characters")
    try:
        written = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
        return msgspec.convert({} if written is None else written, as_)
    except (yaml.YAMLError, msgspec.ValidationError, RecursionError, *NOT_A_VALUE) as error:
        raise InvalidInput(f"{name}: {' '.join(str(error).split())}", advice=advice) from error


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
