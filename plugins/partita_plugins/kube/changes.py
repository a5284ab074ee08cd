"""What a watch says, line by line, decoded in one go."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

LEARNING = threading.Lock()
"""msgspec's first look at a type is not safe from several threads (wire.learn): hold it to make a decoder."""


class Status(msgspec.Struct):
    """Why the API server refuses."""

    reason: str = ""
    message: str = ""
    code: int = 0


class Identity(msgspec.Struct, rename="camel"):
    """Which object, and as of when."""

    resource_version: str
    name: str = ""
    namespace: str = ""


class Identified(msgspec.Struct):
    """An object of which nothing else is told, or matters."""

    metadata: Identity


class Changed(msgspec.Struct, Generic[T], tag_field="type", tag="MODIFIED"):
    """An object is another than before."""

    object: T


class Added(Changed[T], Generic[T], tag="ADDED"):
    """An object is there, or is selected now."""


class Deleted(msgspec.Struct, tag_field="type", tag="DELETED"):
    """An object is gone, or is not selected any more."""

    object: Identified


class Bookmark(msgspec.Struct, tag_field="type", tag="BOOKMARK"):
    """Nothing else has changed up to this version."""

    object: Identified


class Failed(msgspec.Struct, tag_field="type", tag="ERROR"):
    """The watch ends."""

    object: Status


Change = Changed[T] | Deleted | Bookmark


def decoder(as_: type[T]) -> msgspec.json.Decoder[Added[T] | Change[T] | Failed]:
    """Of the lines of a watch on objects of this type."""
    with LEARNING:
        return msgspec.json.Decoder(Added[as_] | Changed[as_] | Deleted | Bookmark | Failed)  # type: ignore[valid-type]
