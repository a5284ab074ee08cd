"""From the slices there are to the slices there should be: which writes, in which order, under which generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from partita_driver.slices.contents import SliceContent, content_of, with_times
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.objects import ObjectMeta, OwnerReference
from partita_plugins.wire.resource_slice import Pool, ResourceSlice, ResourceSliceSpec


class Verb(StrEnum):
    """What is done to one slice."""

    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request to the API server."""

    verb: Verb
    slice: ResourceSlice


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The Node that the slices belong to: they go when it goes."""

    node_name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A content as sent and as the API server keeps it: writing it again would change nothing."""

    sent: SliceContent
    stored: SliceContent


def plan_writes(
    current: Mapping[str, ResourceSlice],
    desired: Sequence[SliceContent],
    owner: Owner,
    *,
    accepted: Mapping[str, Accepted],
    generation: int,
) -> tuple[Write, ...]:
    """Writes in order; none where the API server has what it should.

    One changed slice is updated in place, and an incomplete generation is completed. Anything else makes a new
    generation of all, which readers ignore until it is complete. `generation` is the highest this driver has written;
    a higher one in the API is adopted.
    """
    wanted = {content.name for content in desired}
    obsolete = [entry for name, entry in sorted(current.items()) if name not in wanted]
    highest = max([generation, *(entry.spec.pool.generation for entry in current.values())])
    newest = {name for name, entry in current.items() if entry.spec.pool.generation == highest}
    changed = {
        content.name for content in desired if not _is_as_wanted(current, content, len(desired), owner, accepted)
    }
    if newest <= wanted - changed and newest:
        names = wanted - newest
    elif len(changed) == 1 and newest == wanted and not obsolete:
        names = changed
    else:
        # The very first pool begins at 1.
        highest, names = highest + 1, wanted
    contents = [content for content in desired if content.name in names]
    return (
        *_puts(current, contents, len(desired), owner, highest),
        *(Write(verb=Verb.DELETE, slice=entry) for entry in obsolete),
    )


def _is_as_wanted(
    current: Mapping[str, ResourceSlice],
    content: SliceContent,
    count: int,
    owner: Owner,
    accepted: Mapping[str, Accepted],
) -> bool:
    entry = current.get(content.name)
    if entry is None:
        return False
    stored = content_of(content.name, entry.spec)
    known = accepted.get(content.name)
    same = stored == content or (known is not None and (known.sent, known.stored) == (content, stored))
    return (
        same
        and entry.spec.pool.resource_slice_count == count
        and entry.spec.pool.name == pool_name(owner.node_name)
        and any(reference.uid == owner.uid for reference in entry.metadata.owner_references)
    )


def _puts(
    current: Mapping[str, ResourceSlice], contents: Sequence[SliceContent], count: int, owner: Owner, generation: int
) -> Iterator[Write]:
    for content in contents:
        entry = current.get(content.name)
        wanted = slice_of(content, owner, count=count, generation=generation)
        if entry is None:
            yield Write(verb=Verb.CREATE, slice=wanted)
            continue
        metadata = msgspec.structs.replace(
            wanted.metadata, uid=entry.metadata.uid, resource_version=entry.metadata.resource_version
        )
        spec = msgspec.structs.replace(wanted.spec, devices=with_times(content, entry.spec.devices))
        yield Write(verb=Verb.REPLACE, slice=ResourceSlice(metadata=metadata, spec=spec))


def slice_of(content: SliceContent, owner: Owner, *, count: int, generation: int) -> ResourceSlice:
    """A content as a slice of its node's pool, which the Node owns."""
    reference = OwnerReference(api_version="v1", kind="Node", name=owner.node_name, uid=owner.uid, controller=True)
    spec = ResourceSliceSpec(
        driver=DRIVER_NAME,
        pool=Pool(name=pool_name(owner.node_name), generation=generation, resource_slice_count=count),
        node_name=owner.node_name,
        devices=with_times(content, ()),
        shared_counters=list(content.counters),
    )
    return ResourceSlice(metadata=ObjectMeta(name=content.name, owner_references=[reference]), spec=spec)
