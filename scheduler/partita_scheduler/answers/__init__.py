"""Answers about pods: to kube-scheduler, to autoscalers, and to people who wonder why one is pending.

verbs.py        kube-scheduler's questions, from body to answer
decider.py      what is answered, or "no opinion"
aside.py        decisions that nothing comes of
recent.py       what was answered lately
eligibility.py  whether a node is open to a pod at all
report.py       what is found about one pod, for people
rehearsal.py    many pods, one after the other, for autoscalers
as_if.py        claims that are not there yet, for simulations
explainer.py    the event on a pod that no node can take
"""
