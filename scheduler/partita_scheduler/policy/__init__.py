"""Which node is best for a pod: what would be allocated on each, and what that leaves. Pure.

extended.py  plain extended resources, and the claim that kube-scheduler makes for them
claims.py    what a pod still needs
wishes.py    what it wishes that the API cannot express
question.py  all that, as what a pod asks of every node
layout.py    pools of ours as geometry
state.py     what is in use, as scorers judge it
taking.py    what a pod would take of a node
node.py      what one node would give, and how good that is
row.py       one node's answer, and the verdict on it
decision.py  all nodes: verdicts and their order
"""
