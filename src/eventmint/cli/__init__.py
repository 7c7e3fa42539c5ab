"""The command line: arguments become Settings, then one call, then one document."""

# ruff: noqa: F401, I001 - importing them puts their commands on the command line, in this order
from eventmint.cli import start
from eventmint.cli import run, plan, watch, past
from eventmint.cli import look, quarantine, rollback, retain, forget, anomalies, pages, check, contract
from eventmint.cli import aws, cost
from eventmint.cli.frame import cli, main

__all__ = ["cli", "main"]
