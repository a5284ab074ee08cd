"""Pods that are none of ours, told from the bytes of the question: never one that is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_claim import DeviceClass, DeviceClassSpec
from partita_scheduler.policy.extended import IMPLICIT_PREFIX, asks_for_served, marks
from partita_scheduler.protocol.plain import names_for_others
from partita_scheduler.protocol.questions import parse_args

CLASSES = {
    "gpu": DeviceClass(metadata=ObjectMeta(name="gpu"), spec=DeviceClassSpec(extended_resource_name="nvidia.com/gpu")),
    "plain": DeviceClass(metadata=ObjectMeta(name="plain")),
}
MARKS = marks(CLASSES.values())
NAMES = ',"Nodes":null,"NodeNames":["a"]}'
WORDS = st.sampled_from(
    ["a", "resourceClaims", "nvidia.com/gpu", f"{IMPLICIT_PREFIX}plain", "NodeNames", "Pod", NAMES, '"']
)
ANYTHING = st.recursive(
    st.none() | WORDS | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=6,
)
AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "nvidia.com/gpu", f"{IMPLICIT_PREFIX}plain"]), st.just("1"), max_size=2
)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS},
        optional={"resources": st.fixed_dictionaries({}, optional={"requests": AMOUNTS, "limits": AMOUNTS})},
    ),
    max_size=2,
)
CLAIMS = st.lists(st.fixed_dictionaries({"name": WORDS, "resourceClaimName": WORDS}), max_size=2)
SPECS = st.fixed_dictionaries(
    {"containers": CONTAINERS},
    optional={"initContainers": CONTAINERS, "resourceClaims": CLAIMS, "more": ANYTHING},
)
PODS = st.fixed_dictionaries(
    {"spec": SPECS}, optional={"metadata": st.fixed_dictionaries({"name": WORDS}), "x": ANYTHING}
)


def question(pod: object, names: object = ("a", "b")) -> bytes:
    """As kube-scheduler writes it."""
    return msgspec.json.encode({"Pod": pod, "Nodes": None, "NodeNames": names})


@given(PODS, st.lists(st.text(max_size=3), max_size=3))
def test_a_pod_that_may_be_ours_is_never_taken_for_another(pod: dict[str, Any], names: list[str]) -> None:
    raw = question(pod, names)
    found = names_for_others(raw, MARKS)
    asked = parse_args(raw)
    if found is not None:
        assert not asked.pod.spec.resource_claims
        assert not asks_for_served(CLASSES, asked.pod)
        assert found == asked.raw_names


PLAIN = {"metadata": {"name": "web"}, "spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}}


def test_of_a_plain_pod_the_names_are_told_as_they_came() -> None:
    assert names_for_others(question(PLAIN), MARKS) == b'["a","b"]'


@pytest.mark.parametrize(
    "raw",
    [
        question(PLAIN, None),
        question(PLAIN) + b" ",
        question(PLAIN).replace(b'"Pod"', b'"pod"'),
        question(PLAIN).replace(b":[", b": ["),
        question(PLAIN).replace(b"]}", b"] }"),
        b'{"Pod":{"x":{"y":1,"Nodes":null,"NodeNames":["a"]},"z":[]}',
        b"",
        b"rubbish",
    ],
    ids=[
        "no names",
        "more",
        "other names of fields",
        "spaces",
        "a space at the end",
        "names in the pod",
        "nothing",
        "rubbish",
    ],
)
def test_what_is_not_written_as_kube_scheduler_does_is_left_to_be_decoded(raw: bytes) -> None:
    assert names_for_others(raw, MARKS) is None
