"""Growth of fragmentation: what a placement takes from the pods to come, in milli-GPU, beyond what it needs itself.

One measure over whole GPUs, MIG partitions, shares and CPU. Free capacity counts as lost as far as the expected pods
cannot use it (FGD, USENIX ATC 2023: whole GPUs and shares by the shapes that the cluster has seen, MIG evenly over all
kinds of devices that a GPU offers). Beside that stand bid prices: what is left of a shared GPU is worth the best sizes
that still fit, CPU must last for the free GPUs, sets of GPUs and rare products are kept for those who need them.
"""

from partita_plugins.scorers.fragmentation.scorer import FragmentationScorer

__all__ = ["FragmentationScorer"]
