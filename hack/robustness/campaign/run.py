"""The cells of a campaign, and playing them: several side by side, each on a node in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hack.robustness.campaign.cell import Cell
from hack.robustness.campaign.modes import MODES
from hack.robustness.campaign.results import Result
from hack.robustness.campaign.scenes import SCENES, scene_of
from hack.robustness.campaign.stage import Stage
from hack.robustness.campaign.zygote import Zygote


@dataclass(frozen=True, slots=True)
class Plan:
    """One cell to be played."""

    point: str
    mode: str
    seed: int


def full(points: Iterable[str], modes: Iterable[str], seeds: Iterable[int]) -> list[Plan]:
    """Every point in every mode, for every seed."""
    modes = list(modes)
    return [Plan(point, mode, seed) for seed in seeds for point in points for mode in modes]


def quick(points: Sequence[str], modes: Sequence[str], seed: int) -> list[Plan]:
    """Every point once, and the modes in turn, so that each has its share."""
    return [Plan(point, modes[(index + seed) % len(modes)], seed) for index, point in enumerate(points)]


def play(
    plans: Sequence[Plan],
    folder: Path,
    jobs: int,
    zygote: Zygote,
    told: Callable[[Result], None],
    *,
    keep: bool = False,
) -> list[Result]:
    """Play all cells; results in the order of the plans. Folders of cells that went well are removed unless `keep`.

    After Ctrl-C the results there are; the processes end at once.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix="cell") as pool:
        futures = {pool.submit(_play, plan, folder / str(n), zygote, keep=keep): n for n, plan in enumerate(plans)}
        results = {}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                told(future.result())
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            zygote.stop()
    return [results[n] for n in sorted(results)]


def _play(plan: Plan, root: Path, zygote: Zygote, *, keep: bool) -> Result:
    result = Result(point=plan.point, mode=plan.mode, seed=plan.seed)
    Cell(Stage(zygote, root, result), MODES[plan.mode], scene_of(plan.point, turn_of(plan))).play()
    if result.well and not keep:
        shutil.rmtree(root)
    else:
        result.folder = root
    return result


def turn_of(plan: Plan) -> int:
    """Which of a point's scenes it is: the modes of one point take different ones, and so do the seeds."""
    begun = Random(plan.point).randrange(len(SCENES[plan.point]))
    return begun + list(MODES).index(plan.mode) + plan.seed * len(MODES)


def scenes_seen(plans: Iterable[Plan]) -> Iterator[tuple[str, int]]:
    """Which scenes of which points a campaign plays."""
    for plan in plans:
        yield plan.point, turn_of(plan) % len(SCENES[plan.point])
