"""Values of a type that use every field, every word and every kind of member there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect


def samples(of: Any) -> list[Any]:
    """So few values of a msgspec type that all alternatives occur: enumeration members, literals, union members."""
    return [msgspec.convert(plain, of) for plain in _plain(inspect.type_info(of))]


def _plain(kind: inspect.Type) -> list[Any]:
    """JSON values of a type, each alternative at least once."""
    if type(kind) not in _VALUES:
        raise TypeError(f"no sample of {kind}: add one here")
    return _VALUES[type(kind)](kind)


def _union(kind: inspect.UnionType) -> list[Any]:
    """None comes last, so that the first of several values uses the field."""
    return sorted((value for member in kind.types for value in _plain(member)), key=lambda value: value is None)


def _objects(kind: inspect.StructType) -> list[dict[str, Any]]:
    choices = {field.encode_name: _plain(field.type) for field in kind.fields}
    count = max((len(values) for values in choices.values()), default=1)
    made = [{name: values[row % len(values)] for name, values in choices.items()} for row in range(count)]
    return [{**({str(kind.tag_field): kind.tag} if kind.tag_field else {}), **fields} for fields in made]


_VALUES: dict[type[inspect.Type], Callable[[Any], list[Any]]] = {
    inspect.StructType: _objects,
    inspect.UnionType: _union,
    inspect.LiteralType: lambda kind: list(kind.values),
    inspect.EnumType: lambda kind: [member.value for member in kind.cls],
    inspect.VarTupleType: lambda kind: [_plain(kind.item_type)],
    inspect.ListType: lambda kind: [_plain(kind.item_type)],
    inspect.DictType: lambda kind: [{str(number): one for number, one in enumerate(_plain(kind.value_type))}],
    inspect.BoolType: lambda _: [True],
    inspect.IntType: lambda _: [7],
    inspect.FloatType: lambda _: [0.5],
    inspect.StrType: lambda _: ["words"],
    inspect.NoneType: lambda _: [None],
}
