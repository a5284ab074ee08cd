"""Questions about pods that are none of ours, which most of a cluster's are: told from their bytes, without decoding.

Decoding and what goes with it took most of such an answer, by what it touches of the processor's caches.
"""

from __future__ import annotations

from collections.abc import Iterable

_OPENING = b'{"Pod":{'
_NAMES = b',"Nodes":null,"NodeNames":['


def names_for_others(raw: bytes, marks: Iterable[bytes]) -> bytes | None:
    """The names of nodes, in JSON as they came, in a question about a pod that has none of the marks.

    None where it has one, and where the question is not written as kube-scheduler writes it (ExtenderArgs of
    k8s.io/kube-scheduler/extender/v1, encoding/json of Go: no spaces, this order, no letters escaped): it must be
    decoded. A mark in a place where it means nothing is one too. The pod and the names themselves are taken on trust:
    they only go back to who sent them.
    """
    at = raw.rfind(_NAMES)
    # Only the question's own end may follow the names: they are none of something within the pod.
    if at < 0 or not raw.startswith(_OPENING) or not raw.endswith(b"]}") or raw.find(b"}", at) != len(raw) - 1:
        return None
    if any(raw.find(mark, 0, at) >= 0 for mark in marks):
        return None
    return raw[at + len(_NAMES) - 1 : -1]
