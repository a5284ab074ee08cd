"""`python -m partita_driver` is `partita-driver`."""

from partita_driver.main import main

main()
