"""People forgotten: out of everything, with a signed receipt."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import click

from eventmint.cli.common import Change, carried_out
from eventmint.cli.frame import Call, cli, on_target
from eventmint.errors import FixData, FixSettings


@on_target
@cli.command()
@click.argument("users", nargs=-1, metavar="[USER]...")
@click.option(
    "-f", "--file", "listed", type=click.File(encoding="utf-8"), help="Ids, one a line; - for stdin."
)
@click.option(
    "--sources",
    type=click.Choice(["report", "rewrite"]),
    default="report",
    show_default=True,
    help="Only name the source files that hold their lines, or write these again without them.",
)
@click.option(
    "--receipt", type=click.Path(dir_okay=False, path_type=Path), help="Write the signed receipt there."
)
@click.option(
    "--verify-receipt",
    "checked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Only say whether a receipt is one of this lake's key, unchanged.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.pass_obj
def forget(call: Call, /, users: tuple[str, ...], listed: IO[str] | None, yes: bool, **how: Any) -> None:
    """Take people out of every table, file and earlier state, and never take them in again.

    USER is an id as events say it in user_id; a file or stdin keeps ids out of the shell's history. Shows
    first what would be done. There is no way back. With --json the result is the signed receipt.
    """
    from eventmint.lake import Lake, forgetting_to_dict
    from eventmint.serve.formats import json_text
    from eventmint.serve.screens import draw_forgetting
    from eventmint.storage.local import write_whole

    lake = call.lake()
    if how["checked"]:
        if users or listed:
            raise click.UsageError("--verify-receipt takes no user.")
        call.put(_verified(lake, how["checked"]), lambda page, _: page.line("the receipt is genuine"))
        return
    ids = _ids(users, listed or ())
    change = Change(
        plan=lambda: lake.forget(ids, dry_run=True),
        do=lambda progress: Lake(lake.settings, progress).forget(
            ids, rewrite_sources=how["sources"] == "rewrite"
        ),
        as_dict=forgetting_to_dict,
        draw=draw_forgetting,
        asks=lambda _: True,
        question="Do this? It cannot be undone.",
    )
    made = carried_out(call, change, dry_run=how["dry_run"], yes=yes)
    if made is None:
        return
    document = forgetting_to_dict(made)
    if how["dry_run"]:
        call.put(document, draw_forgetting)
        return
    signed = {**document, "signature": lake.sign(_canonical(document))}
    if how["receipt"]:
        write_whole(how["receipt"], json_text(signed) + "\n")
    call.put(signed, draw_forgetting)
    left = [source for source in made.sources if source.lines is None]
    if left:
        call.say(f"{len(left):,} source files still hold lines of forgotten people: see --sources rewrite")


def _ids(users: Iterable[str], lines: Iterable[str]) -> set[str]:
    found = {*users, *(line.rstrip("\r\n") for line in lines)} - {""}
    if not found:
        raise click.UsageError("Name at least one user, or a file of them with --file.")
    return found


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _verified(lake: Any, path: Path) -> dict[str, Any]:
    """Return a receipt that is genuine. Raises: FixData: it is not."""
    try:
        document = dict(json.loads(path.read_text(encoding="utf-8")))
        signature = str(document.pop("signature"))
        document.pop("schema_version", None)
    except (OSError, ValueError, TypeError, KeyError) as err:
        raise FixSettings(
            f"{path}: is no receipt.", "Name a file that `forget --receipt` has written."
        ) from err
    if not hmac.compare_digest(signature.encode(), lake.sign(_canonical(document)).encode()):
        raise FixData(
            f"{path}: the receipt was changed, or is of another key.",
            "Compare privacy.key_file, or discard it.",
        )
    return {**document, "signature": signature, "genuine": True}
