"""The command line: arguments become Settings, then one call, then one document."""

from eventmint.cli import local  # noqa: F401 - importing it puts its commands on the command line
from eventmint.cli.frame import cli, main

__all__ = ["cli", "main"]
