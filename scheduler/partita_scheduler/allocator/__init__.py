"""What kube-scheduler's structured allocator will allocate on a node: the same devices in the same order, as values.

rules.py        what differs between Kubernetes versions
plan.py         a pod's claims and their classes, compiled
inputs.py       the node's slices as pools, in the order in which they are tried (node_match.py: which slices are its)
nodes.py        these pools, kept while the slices stay the same (numbers.py: equal ones have one number)
in_use.py       what is allocated already
elsewhere.py    pools of other nodes, where the version lets them decide
search.py       first fit with backtracking, to a result.py
taken.py        what a search has taken so far: counters.py, capacity.py, constraints.py
allocation.py   the devices it found, as kube-scheduler writes them down
standing.py     how each device stands to a request that finds no solution
why_not.py      that in plain words
"""
