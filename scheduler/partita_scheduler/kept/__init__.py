"""What is kept between questions: each node's answer to each kind of question, changed where the cluster changed.

fleet.py numbers the nodes and tells which are equal, column.py keeps the answers to one kind of question, changes.py
is the cluster as the watches say, told.py takes in what they say, cycles.py when kube-scheduler looked at it, state.py
answers, answer.py is what a question gets.
"""
