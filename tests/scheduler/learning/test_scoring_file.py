"""Order and weights of the scorers, and what is wrong with a file that asks for others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from partita_plugins.contracts import Workload
from partita_plugins.errors import InvalidInput
from partita_plugins.model.offer import Offer
from partita_plugins.testing.states import whole
from partita_scheduler.policy.decision import decide
from partita_scheduler.scoring.cpu import NOT_COUNTED
from partita_scheduler.scoring.ranking import DEFAULT_SCORING, Scoring, ranking_of
from partita_scheduler.scoring.settings_file import Judging, parse_settings, read_settings
from tests.scheduler.decision.fleet import claim, exactly, pod, slices, view

MEMORY = Scoring(((("memory", 1.0),),))


@pytest.mark.parametrize("text", ["", "scorers:", "{}"])
def test_a_file_that_asks_for_nothing_has_the_defaults(text: str) -> None:
    assert parse_settings(text, "f") == Judging(DEFAULT_SCORING, count_cpu=True)


def test_lines_and_weights_are_as_written() -> None:
    found = parse_settings("scorers:\n- {leftovers: 2, fragmentation: 1}\n- {topology: 1}\ncountCpu: false\n", "f")
    assert not found.count_cpu
    assert found.scoring.lines == ((("fragmentation", 1.0), ("leftovers", 2.0)), (("topology", 1.0),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scorers: [{topologie: 1}]", "there is no 'topologie', but fragmentation, leftovers, memory, topology"),
        ("scorers: [{topology: 1}, {topology: 2}]", "topology is named in several lines"),
        ("scorers: [{topology: 0}]", "the weight of topology is 0"),
        ("scorers: [{topology: .inf}]", "the weight of topology is inf"),
        ("scorers: [{}]", "a line names no scorer"),
        ("scorers: []", "nobody is named"),
        ("scorers: [{topology: 1, topology: 2}]", "'topology' is written twice"),
        ("scorers: {topology: 1}", "Expected `array | null`"),
        ("scorers: [{topology: much}]", "Expected `float`"),
        ("weights: {topology: 1}", "unknown field `weights`"),
    ],
)
def test_a_mistake_is_told_with_the_file_and_what_to_do(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_settings(text, "settings.yaml")
    assert str(caught.value).startswith("settings.yaml: ")
    assert words in str(caught.value)
    assert "--settings" in caught.value.advice


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_settings(tmp_path)


def test_the_order_of_the_lines_decides() -> None:
    """A pair of a machine with NVLink, or the machine whose links nobody will miss."""
    machines = {"nvlink": slices("nvlink", "hgx-h100", Offer()), "pcie": slices("pcie", "l40s-x8", Offer())}
    asked = view(machines, claim("c", exactly(count=2)))
    assert decide(asked, pod("c"), ["nvlink", "pcie"]).order == ("nvlink", "pcie")
    thrifty = Scoring(((("leftovers", 1.0),), (("topology", 1.0),)))
    assert decide(replace(asked, scoring=thrifty), pod("c"), ["nvlink", "pcie"]).order == ("pcie", "nvlink")


def test_whole_gpus_are_named_even_if_nobody_judges_their_links() -> None:
    machines = {"a": slices("a", "hgx-h100", Offer())}
    asked = view(machines, claim("c", exactly(count=2)))
    assert decide(replace(asked, scoring=MEMORY), pod("c"), ["a"]).verdicts["a"].explanation == "takes GPUs 6 and 7"


def test_in_one_line_weights_say_what_a_score_is_worth() -> None:
    fast, thrifty = whole("hgx-h100", 0, 1), whole("l40s-x8", 0, 1)
    for weight, expected in ((100.0, [0, 1]), (0.01, [1, 0])):
        ranking = ranking_of(Scoring(((("leftovers", 1.0), ("topology", weight)),)))
        ranks = np.array(ranking.ranks([0.0, 0.0], [fast, thrifty], [NOT_COUNTED] * 2, Workload()))
        assert ranking.grades(ranks, np.ones(2, dtype=np.int64), Workload()).tolist() == expected


def test_equal_ranks_have_equal_grades_and_an_earlier_alternative_goes_first() -> None:
    ranking = ranking_of(DEFAULT_SCORING)
    good, bad = whole("hgx-h100", 0, 1), whole("l40s-x8", 0, 1)
    rows = [(1.0, good), (0.0, bad), (0.0, good), (0.0, bad)]
    places, outcomes = zip(*rows, strict=True)
    ranks = np.array(ranking.ranks(places, outcomes, [NOT_COUNTED] * 4, Workload()))
    assert ranking.grades(ranks, np.ones(4, dtype=np.int64), Workload()).tolist() == [2, 1, 0, 1]
