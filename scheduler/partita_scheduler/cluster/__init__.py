"""What is seen of the cluster: the values at one moment, and the watches that keep them.

view.py         objects of the API as far as placing needs them, and a snapshot of them
watch.py        the snapshot, kept by watches
pods.py         pods that wait, and what the others hold, kept by one watch
slice_index.py  slices by node, with the taints of rules
taint_rules.py  DeviceTaintRules, as kube-scheduler applies them
cpu.py          CPU that a pod requests, and that is left on each node
interned.py     one object for equal parts
groups.py       who has what in common, kept by change
"""
