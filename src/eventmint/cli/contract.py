"""The contract: what it is, and what a change of it breaks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from eventmint.cli.frame import Call, Group, cli
from eventmint.errors import EventmintError
from eventmint.serve.streams import tell_error


class ContractBroken(EventmintError):
    """The new contract breaks what relied on the old one."""

    exit_code = 6


@cli.group(cls=Group)
def contract() -> None:
    """What events must be, what tables promise, and what a change breaks."""


@contract.command()
@click.pass_obj
def show(call: Call) -> None:
    """The contract in force: rules for events, tables and their columns.

    Keep its --json beside your configuration: it is what `contract diff` compares with.
    """
    from eventmint.contract_changes import contract_document
    from eventmint.serve.contract_screen import draw_contract

    call.put(contract_document(call.settings()), draw_contract)


@contract.command()
@click.argument("old", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("new", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def diff(call: Call, old: Path, new: Path | None) -> int:
    """What is different from OLD to NEW, and what it breaks.

    Both are files that `eventmint --json contract show` wrote; NEW may be left out: the contract in force.
    Ends with code 6 where something breaks, for a check before a change is let in.
    """
    from eventmint.contract_changes import changes, contract_document, read_contract
    from eventmint.serve.contract_screen import draw_contract_changes

    found = changes(read_contract(old), read_contract(new) if new else contract_document(call.settings()))
    breaking = [change for change in found if change.breaks]
    document = {"breaking": len(breaking), "changes": [asdict(change) for change in found]}
    call.put(document, draw_contract_changes)
    if not breaking:
        return 0
    error = ContractBroken(
        f"{breaking[0].subject}: {breaking[0].text}: {breaking[0].breaks}"
        + (f"; and {len(breaking) - 1:,} more." if breaking[1:] else "."),
        "Take the change back, or tell those who rely on it and save the new contract.",
    )
    tell_error(error, call.wants_json)
    return error.exit_code
