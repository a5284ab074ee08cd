"""Bodies in: what is taken, and what is refused with which words."""

from __future__ import annotations

import json

import msgspec
import pytest

from partita_plugins.errors import InvalidInput
from partita_scheduler.protocol import bodies
from partita_scheduler.protocol.preemption import parse_preemption
from partita_scheduler.protocol.questions import parse_args
from partita_scheduler.protocol.simulation import parse_simulation

POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "creationTimestamp": None}, "spec": {}, "status": {}}


def raw(**keys: object) -> bytes:
    return json.dumps(keys).encode()


@pytest.mark.parametrize("keys", [("Pod", "NodeNames"), ("pod", "nodeNames")])
def test_go_names_and_lower_camel_are_both_read(keys: tuple[str, str]) -> None:
    args = parse_args(raw(**{keys[0]: POD, keys[1]: ["a", "b"]}))
    assert args.pod.key == "n/p"
    assert args.node_names == ("a", "b")


def test_full_nodes_are_refused_with_the_setting_that_helps() -> None:
    with pytest.raises(InvalidInput, match="nodeCacheCapable: true"):
        parse_args(raw(Pod=POD, Nodes={"metadata": {}, "items": []}, NodeNames=None))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not what kube-scheduler sends"),
        (b"{", "not what kube-scheduler sends"),
        (b"[]", "Expected `object`"),
        (b"\xff\xfe", "not what kube-scheduler sends"),
        (raw(Pod=POD), "no NodeNames"),
        (raw(NodeNames=["a"]), "no Pod"),
        (raw(Pod=POD, NodeNames=[1]), r"\$.NodeNames\[0\]"),
        (raw(Pod=POD, NodeNames=["x" * 254]), "length <= 253"),
        (raw(Pod=POD, NodeNames=["x"] * 20_001), "length <= 20000"),
        (raw(Pod={"metadata": {"name": "x" * 254}}, NodeNames=[]), "Pod.metadata.name is longer than 253"),
        (raw(Pod={"metadata": {"uid": "x" * 129}}, NodeNames=[]), "Pod.metadata.uid is longer"),
        (b'{"Pod": {"spec": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}}", "deep"),
        (b'{"Pod": {"metadata": {"generation": ' + b"9" * 5000 + b"}}}", "not what kube-scheduler sends"),
        (b'{"Pod": {"metadata": {"name": "\\ud800"}}, "NodeNames": []}', "not what kube-scheduler sends"),
    ],
)
def test_a_bad_body_is_refused_in_words_that_name_the_fault(body: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        _ = parse_args(body).node_names


def test_a_body_over_the_bound_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 10)
    with pytest.raises(InvalidInput, match="larger than 10 bytes"):
        parse_args(raw(Pod=POD, NodeNames=[]))


def test_twenty_thousand_long_names_fit_into_the_bound() -> None:
    names = [f"{number:0>253}" for number in range(20_000)]
    body = raw(Pod=POD, NodeNames=names)
    assert len(body) < bodies.MAX_BODY_BYTES
    assert len(parse_args(body).node_names) == 20_000


def test_preemption_passes_victims_through() -> None:
    victims = {"n1": {"Pods": [{"UID": "u-2"}], "NumPDBViolations": 1}}
    answer = parse_preemption(raw(Pod=POD, NodeNameToVictims=None, NodeNameToMetaVictims=victims))
    assert json.loads(msgspec.json.encode(answer)) == {"NodeNameToMetaVictims": victims}


def test_full_victims_are_answered_by_uid() -> None:
    """nodeCacheCapable: false sends whole pods; the answer is always UIDs, and Go wants them all."""
    full = {"n1": {"Pods": [{"metadata": {"uid": "u-2"}, "spec": {}}], "NumPDBViolations": 0}}
    answer = parse_preemption(raw(NodeNameToVictims=full))
    assert answer.node_name_to_meta_victims["n1"].pods[0].uid == "u-2"


def test_a_simulation_may_bring_its_own_claims() -> None:
    args = parse_simulation(raw(pod=POD, claims=[{"metadata": {"name": "wish"}, "spec": {}}]))
    assert args.claims[0].metadata.name == "wish"
    assert args.node_names == ()
