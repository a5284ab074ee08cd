"""python -m partita_scheduler"""

from partita_scheduler.main import main

main()
