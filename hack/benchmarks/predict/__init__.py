"""The allocator model against the real kube-scheduler, device by device.

case.py      one case as API objects, and its outcome
fleet.py     random pools and slices
devices.py   random devices: counters, capacities, attributes, taints
selectors.py random CEL
wishes.py    random claims and the pod
held.py      random earlier allocations
taint_rules.py  random DeviceTaintRules
generate.py  a whole case from a seed and a number
model.py     what the extender's decision code predicts
server.py    what the real control plane does, many cases at a time
witness.py   what shows that kube-scheduler has seen them all
coverage.py  which part of the model each case exercises
report.py    the row that is printed, disagreements as files
command.py   the command
"""
