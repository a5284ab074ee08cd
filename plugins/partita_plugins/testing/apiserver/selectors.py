"""Label and field selectors: text in, a predicate over objects out."""

from __future__ import annotations

import re
from collections.abc import Callable

from partita_plugins.testing.apiserver.errors import Json, bad_request
from partita_plugins.testing.apiserver.resources import Resource

Predicate = Callable[[Json], bool]

_SET = re.compile(r"^(?P<key>[^\s!=()]+)\s+(?P<verb>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=]+)\s*(?P<verb>==|=|!=)\s*(?P<value>[^\s!=]*)$")
_EXISTS = re.compile(r"^(?P<negated>!?)\s*(?P<key>[^\s!=()]+)$")
_COMMA_OUTSIDE_BRACKETS = re.compile(r",(?![^(]*\))")


def value_at(obj: Json, path: tuple[str, ...]) -> str:
    """The text at a path, or empty where there is none."""
    found: object = obj
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def labels_of(obj: Json) -> dict[str, str]:
    return obj.get("metadata", {}).get("labels") or {}


def label_selector(text: str) -> Predicate:
    """What `a=b,c!=d,e in (f,g),h notin (i),j,!k` selects; empty text selects everything."""
    terms = [_label_term(term.strip()) for term in _COMMA_OUTSIDE_BRACKETS.split(text) if term.strip()]
    return lambda obj: all(term(labels_of(obj)) for term in terms)


def _label_term(text: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.match(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["verb"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(text):
        key, value = found["key"], found["value"]
        if found["verb"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(text):
        key, wanted = found["key"], not found["negated"]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f'unable to parse requirement: "{text}"; write key=value, key in (a,b), key or !key')


def field_selector(text: str, resource: Resource) -> Predicate:
    """What `spec.nodeName=a,status.phase!=Failed` selects, over the fields that this resource can be selected by."""
    known = resource.field_paths()
    terms: list[Predicate] = []
    for term in (part.strip() for part in text.split(",")):
        if not term:
            continue
        found = _EQUAL.match(term)
        if found is None:
            raise bad_request(f'invalid field selector: "{term}"; write field=value or field!=value')
        if found["key"] not in known:
            raise bad_request(f"field label not supported: {found['key']}; {resource.plural} know {', '.join(known)}")
        terms.append(_field_term(known[found["key"]], found["value"], equal=found["verb"] != "!="))
    return lambda obj: all(term(obj) for term in terms)


def _field_term(path: tuple[str, ...], value: str, *, equal: bool) -> Predicate:
    return lambda obj: (value_at(obj, path) == value) is equal
