"""What a choice costs the pods to come: Measures of one node, and their sum at the cluster's prices."""

from __future__ import annotations

import numpy as np

from partita_plugins.contracts import Counts, Floats, Measures, PodShape
from partita_plugins.scorers.fragmentation.demand import SET_SIZES, Demand
from partita_plugins.scorers.fragmentation.fleet import FRAGMENTED, SETS, STRANDED, VALUE

STEP_MILLI = 400.0
"""Of whole GPUs and shares, once the workload is known: smaller differences are equal, so that nodes are filled one
after another instead of all a little. The levels matter more than the last milli."""

VALUE_WEIGHT, REST_WEIGHT, CPU_WEIGHT, PRODUCT_WEIGHT = 8.0, 0.1, 2.0, 4.0
MOST = 3.0
"""No price of something rare is more than so many times its size."""

LEAST_MILLI = 1000.0
"""Supply is never taken to be less than one GPU."""

OWN = 0
LOST_SETS = slice(1, 1 + len(SET_SIZES))
TAKEN, PRODUCT, SUPPLY = 4, 5, 6
SETS_SUPPLY = slice(7, 7 + len(SET_SIZES))
STEP = 10
COLUMNS = 11
"""Of the measures: what the node alone tells; the sets that it loses for pods with more GPUs than this one; what the
pod takes of a product; the node's free value and sets, for the prices; the step in which losses are compared."""


def measures(
    before: Floats, after: Floats, *, rest: Floats, product: Counts, pod: PodShape, demand: Demand
) -> Measures:
    """One row a node, from its figures before and after; `rest` is what stays free of the GPUs that the pod has."""
    found = np.zeros((len(before), COLUMNS))
    share = pod.gpus > 0 and pod.gpu_milli < 1000 and not pod.partition
    found[:, OWN] = after[:, FRAGMENTED] - before[:, FRAGMENTED]
    found[:, OWN] += CPU_WEIGHT * (after[:, STRANDED] - before[:, STRANDED])
    if share:
        wasted = before[:, VALUE] - after[:, VALUE] - pod.gpus * demand.price_of(pod.gpu_milli)
        found[:, OWN] += VALUE_WEIGHT * wasted + REST_WEIGHT * rest
    larger = np.array([size > pod.gpus for size in SET_SIZES])
    found[:, LOST_SETS] = (before[:, SETS] - after[:, SETS]) * larger
    found[:, TAKEN] = 0 if pod.partition else pod.gpus * pod.gpu_milli
    found[:, PRODUCT] = product
    found[:, SUPPLY] = before[:, VALUE]
    found[:, SETS_SUPPLY] = before[:, SETS]
    found[:, STEP] = STEP_MILLI if demand.typical.weight.size and not pod.partition else 0.0
    return found


def losses(measured: Measures, nodes: Counts, demand: Demand) -> Floats:
    """Milli-GPU lost by each choice, in steps, at the prices of all candidates together."""
    supply = measured[:, SUPPLY] * nodes
    found = measured[:, OWN] + measured[:, LOST_SETS] @ set_prices(
        supply.sum(), nodes @ measured[:, SETS_SUPPLY], demand
    )
    if demand.restricted:
        product = measured[:, PRODUCT].astype(np.int64)
        found += PRODUCT_WEIGHT * product_prices(supply, product, demand)[product] * measured[:, TAKEN]
    step = measured[:, STEP]
    return np.where(step > 0, np.ceil(found / np.where(step > 0, step, 1.0)) * step, found)


def set_prices(supply: float, sets: Floats, demand: Demand) -> Floats:
    """Of each set size: steep, so that sets cost nothing while there are many and everything when they get few."""
    return np.minimum(MOST, (demand.set_shares * supply / np.maximum(sets, LEAST_MILLI)) ** 4)


def product_prices(supply: Floats, product: Counts, demand: Demand) -> Floats:
    """Of each product: what pods that may use few products ask of it, for what there is of those."""
    supplied = np.bincount(product, weights=supply, minlength=len(demand.products) + 1)
    found = np.zeros(len(supplied))
    for allowed, share in demand.restricted:
        found += allowed * min(MOST, share * supplied.sum() / max(LEAST_MILLI, supplied[allowed].sum()))
    return found
