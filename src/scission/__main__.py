"""`python -m scission` is the command line."""

from .runtime.cli.entry import main

main()
