"""Discovery documents, made from the table of resources: what kubectl and client libraries ask first."""

from __future__ import annotations

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.resources import RESOURCES, Resource

KUBERNETES_VERSION = "v1.37.0"
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def document(path: str) -> Json | None:
    """The document at a path; None where there is none."""
    groups = _groups()
    found: Json | None = None
    match [part for part in path.split("/") if part]:
        case ["version"]:
            _, minor, _ = KUBERNETES_VERSION.split(".")
            built = dict.fromkeys(("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion"), "embedded")
            found = {"major": "1", "minor": minor, "gitVersion": KUBERNETES_VERSION, "platform": "linux/amd64", **built}
        case ["api"]:
            found = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups]}
        case ["api", "v1"]:
            found = _resources("", "v1")
        case ["apis", group] if group in groups:
            found = {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        case ["apis", group, version] if version == groups.get(group):
            found = _resources(group, version)
        case ["openapi", "v3"]:
            found = {"paths": {}}
    return found


def _groups() -> dict[str, str]:
    return {row.group: row.version for row in RESOURCES if row.group}


def _group(name: str) -> Json:
    version = _groups()[name]
    entry = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _resources(group: str, version: str) -> Json:
    rows = [row for row in RESOURCES if (row.group, row.version) == (group, version)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [entry for row in rows for entry in _entries(row)],
    }


def _entries(row: Resource) -> list[Json]:
    common: Json = {"singularName": row.kind.lower(), "namespaced": row.namespaced, "kind": row.kind}
    entry: Json = {"name": row.plural, **common, "verbs": _VERBS}
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    parts = [
        {"name": f"{row.plural}/{part}", **common, "singularName": "", "verbs": ["get", "patch", "update"]}
        for part in row.subresources
    ]
    return [entry, *parts]
