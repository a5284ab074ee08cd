"""After the journal was lost: who owns what is told by CDI files, the API server and the hardware.

confirm.py   until the API server has been asked, nothing is given away
recall.py    what it still knows: slots and quarantines, read from the node's slices
rebuild.py   from all that to a journal
found.py     claims found again
presence.py  how much of them is on the hardware
named.py     devices known by their name alone, while their GPU does not answer
"""
