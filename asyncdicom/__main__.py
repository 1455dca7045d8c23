"""`python -m asyncdicom`: the same as the command `asyncdicom`."""

from asyncdicom.cli.app import main

main()
