"""What kube-scheduler sends an extender and takes back: strict and bounded on the way in, exact on the way out.

The types of k8s.io/kube-scheduler/extender/v1 have no JSON tags, so keys are Go field names ("NodeNames"). People write
lower camel, and Go reads any case, so both spellings are read here. Scores are integers: Go refuses 7.0.

bodies.py      how a body is decoded, and the bounds of what is in it
questions.py   filter, choose and prioritize, as they ask
replies.py     what they are told
preemption.py  victims, in and out
simulation.py  what-ifs, which are ours
"""
