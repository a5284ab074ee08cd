"""The scheduler extender: what it sees, how it decides, how it explains.

Dependencies point downwards (pyproject.toml holds them):

main.py, app.py   the process, put together of all that follows
kubectl/          kubectl partita
simulator/        kube-scheduler's part in the embedded cluster
extender.py       the routes (protocol/ says what kube-scheduler sends, http/ listens)
answers/          to kube-scheduler, to autoscalers, and to people who wonder why a pod is pending
kept/             every node's answer to each kind of question, kept while the cluster changes
assumed/          what we named and have not yet seen in the API, and whether it came true
learning/         the workload to expect
policy/           which node is best for a pod
allocator/        what kube-scheduler will allocate on a node
cel/              selectors
cluster/          what is seen of the cluster, and the watches that keep it
scoring/          which scorers judge, and how their figures make an order
leader/           which replica answers
install/          what an installer is given
"""
