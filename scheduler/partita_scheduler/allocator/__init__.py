"""What kube-scheduler's structured allocator will allocate on a node: the same devices in the same order, as values.

rules.py     what differs between Kubernetes versions
plan.py      a pod's claims and their classes, compiled
inputs.py    the node's slices as pools, in the order in which they are tried
in_use.py    what is allocated already
search.py    first fit with backtracking
why_not.py   findings where there is no solution
"""
