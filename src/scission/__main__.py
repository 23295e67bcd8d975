"""`python -m scission` is the command line."""

from .runtime.cli.app import main

main()
