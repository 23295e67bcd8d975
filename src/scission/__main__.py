"""`python -m scission` is the command line."""

from .runtime.cli import main

main()
