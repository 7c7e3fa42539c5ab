"""The command line: arguments become Settings, then one call, then one document."""

# Importing them puts their commands on the command line, in this order.
from eventmint.cli import local  # noqa: F401

# isort: split
from eventmint.cli import aws, cost  # noqa: F401
from eventmint.cli.frame import cli, main

__all__ = ["cli", "main"]
