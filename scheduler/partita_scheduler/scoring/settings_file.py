"""The settings file of the extender: how nodes are judged.

scorers:                              # most important first
- {topology: 1}
- {memory: 1}
- {fragmentation: 1, leftovers: 1}    # in one line scores are added, each times its weight
countCpu: true                        # false: pods that have a node are not watched for the CPU that they request
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from partita_plugins.errors import InvalidInput
from partita_plugins.registry import names
from partita_plugins.strict_yaml import Strict, read_strict
from partita_scheduler.scoring.ranking import DEFAULT_SCORING, Scoring

ADVICE = "correct the file that --settings names, and start again"


class SettingsFile(Strict, frozen=True, kw_only=True, rename="camel"):
    """All of the file."""

    scorers: tuple[dict[str, float], ...] | None = None
    """Lines of names with weights. None: the defaults."""

    count_cpu: bool = True


@dataclass(frozen=True, slots=True)
class Judging:
    """What the file says."""

    scoring: Scoring = DEFAULT_SCORING
    count_cpu: bool = True


def read_settings(path: Path) -> Judging:
    """What a file says. Raises InvalidInput that names what is wrong and what there is."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", advice=ADVICE) from error
    return parse_settings(text, str(path))


def parse_settings(text: str, name: str) -> Judging:
    """The same from the file's text."""
    found = read_strict(text, SettingsFile, name=name, advice=ADVICE)
    return Judging(_scoring(found.scorers, name) if found.scorers is not None else DEFAULT_SCORING, found.count_cpu)


def _scoring(lines: tuple[dict[str, float], ...], name: str) -> Scoring:
    known = names("partita.scorers")
    written = Counter(scorer for line in lines for scorer in line)
    problems = [
        *("scorers: a line names no scorer" for line in lines if not line),
        *(f"scorers: there is no {one!r}, but {', '.join(known)}" for one in written if one not in known),
        *(f"scorers: {one} is named in several lines" for one, times in written.items() if times > 1),
        *(
            f"scorers: the weight of {one} is {weight:g}, but must be more than 0; leave it out to turn it off"
            for line in lines
            for one, weight in line.items()
            if not (isfinite(weight) and weight > 0)
        ),
        *(["scorers: nobody is named; leave the field out for the defaults"] if not lines else []),
    ]
    if problems:
        raise InvalidInput(f"{name}: {problems[0]}", advice=ADVICE)
    return Scoring(tuple(tuple(sorted(line.items())) for line in lines))
