"""`python -m everyclass` is the command line."""

from everyclass.cli import main

main()
