"""The nodes' settings: strict reading, and what a wrong file leaves in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from partita_driver.settings.parse import CONFIG_MAP, NodeSettings, parse_settings
from partita_driver.settings.watch import SettingsWatch
from partita_driver.slices.plan import Owner
from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import Offer
from tests.driver.edge.worlds import ALL_SHAPES, NODE, api_server
from tests.waiting import eventually

GOOD = """
nodes:
- selector: {gpu.partita.dev/offer: mig}
  offer: {whole: true, mig: [1g, 3g], groups: [2]}
- selector: {gpu.partita.dev/offer: shared}
  offer: {whole: false, shared: true}
  validation: {prepare: false}
- offer: {mig: all, monitor: true}
"""


def test_the_first_entry_that_matches_is_taken() -> None:
    settings = parse_settings(GOOD)
    mig = settings.for_labels({"gpu.partita.dev/offer": "mig", "zone": "a"})
    assert mig.offer.offer == Offer(whole=True, mig_shapes=frozenset({"1g", "3g"}), group_sizes=frozenset({2}))
    shared = settings.for_labels({"gpu.partita.dev/offer": "shared"})
    assert (shared.offer.offer, shared.validation.prepare) == (Offer(whole=False, shared=True), False)
    assert settings.for_labels({}).offer.offer == Offer(mig_shapes=ALL_SHAPES, monitor=True)


@pytest.mark.parametrize("text", ["", "nodes: []", "# nothing\n"])
def test_without_settings_a_node_offers_whole_gpus(text: str) -> None:
    assert parse_settings(text).for_labels({}) == NodeSettings()
    assert NodeSettings().offer.offer == Offer()
    assert NodeSettings().validation.prepare


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nodes: [{offers: {}}]", "offers"),
        ("nodes: [{offer: {mig: [9g]}}]", "9g"),
        ("nodes: [{offer: {mig: most}}]", r"\.mig"),
        ("nodes: [{offer: {groups: [3]}}]", "3"),
        ("nodes: [{offer: {whole: 'yes'}}]", r"\.whole"),
        ("nodes: [{validation: {prepare: 1}}]", r"\.prepare"),
        ("nodes: [{selector: {a: 1}}]", r"\.selector"),
        ("node: []", "node"),
        ("[]", "object"),
        ("nodes: [", "line 1"),
        ("nodes: [{offer: {whole: true, whole: false}}]", "'whole' is written twice"),
        ("nodes: &all []\nmore: *all", "references are not taken"),
        ("nodes: !!python/object/apply:os.getcwd []", "python"),
        ("x" * ((1 << 20) + 1), "characters"),
        ("[" * 5000, "nodes.yaml"),
        ("nodes: [2024-99-99]", "nodes.yaml"),
        ("nodes: !!timestamp never", "nodes.yaml"),
        ("nodes: !!bool perhaps", "nodes.yaml"),
        ("nodes: " + "9" * 5000, "nodes.yaml"),
    ],
)
def test_anything_unexpected_is_refused_with_its_name(text: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        parse_settings(text)


def test_wrong_settings_are_reported_and_the_good_ones_stay(tmp_path: Path) -> None:
    seen: list[NodeSettings] = []
    refused: list[tuple[Owner, InvalidInput]] = []
    with api_server(tmp_path) as (server, api):
        watch = SettingsWatch(
            api, NODE, "partita-system", on_change=seen.append, report=lambda *what: refused.append(what)
        )
        watch.start()
        assert eventually(lambda: watch.current == NodeSettings())
        meta = {"name": CONFIG_MAP, "namespace": "partita-system"}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"nodes.yaml": GOOD}}
        server.create(config)
        assert eventually(lambda: len(seen) == 2)
        server.apply({**config, "data": {"nodes.yaml": "nodes: [{offre: {}}]"}})
        assert eventually(lambda: bool(refused))
        assert "offre" in str(refused[0][1])
        assert watch.current == parse_settings(GOOD).for_labels({})
        server.patch("Node", NODE, {"metadata": {"labels": {"gpu.partita.dev/offer": "shared"}}})
        assert eventually(lambda: watch.current == parse_settings(GOOD).for_labels({"gpu.partita.dev/offer": "shared"}))
        assert watch.owner is not None
        watch.stop()


def test_the_last_good_settings_survive_a_restart(tmp_path: Path) -> None:
    """A wrong ConfigMap at the start must not turn a MIG node into a node of whole GPUs."""
    refused: list[InvalidInput] = []
    with api_server(tmp_path) as (server, api):
        meta = {"name": CONFIG_MAP, "namespace": "partita-system"}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"nodes.yaml": GOOD}}
        server.create(config)
        for _ in range(2):
            watch = SettingsWatch(
                api,
                NODE,
                "partita-system",
                on_change=lambda _: None,
                report=lambda _, error: refused.append(error),
                remembered=tmp_path / "nodes.yaml",
            )
            watch.start()
            assert eventually(lambda found=watch: found.current is not None)  # type: ignore[misc]
            assert watch.current == parse_settings(GOOD).for_labels({})
            watch.stop()
            server.apply({**config, "data": {"nodes.yaml": "nodes: 7"}})
        assert len(refused) == 1
