"""`partita-driver doctor`: what is on this node, what Partita can offer of it, and what is in the way.

gather.py asks, facts.py holds the answers, findings.py judges them (pure, a table of rules), show.py prints.
"""
