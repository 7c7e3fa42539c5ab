"""How the commands for AWS look on a screen, each drawn from the document that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eventmint.serve.formats import cell_text
from eventmint.serve.terminal import Column, Page, right

Document = Mapping[str, Any]
_STYLES = {"ok": "", "unseen": "yellow", "missing": "red", "wrong": "red"}
_KEPT_SHORT = 8


def draw_plan(page: Page, changes: Sequence[Document]) -> None:
    """What CloudFormation would do, a line for each resource."""
    replaced = {"True": "replaced", "Conditional": "perhaps replaced"}
    page.table(
        [Column("action"), Column("resource"), Column("type"), Column()],
        [
            [
                change["action"],
                change["logical_id"],
                change["type"].removeprefix("AWS::"),
                replaced.get(change["replacement"], ""),
            ]
            for change in changes
        ],
    )


def draw_deployment(page: Page, document: Document) -> None:
    stack, region = document["stack"], document["region"]
    if not document["done"]:
        if document["action"] == "nothing":
            page.line(f"{stack} in {region}: nothing would change")
        else:
            page.line(f"{stack} in {region}: would {document['action']}; nothing was changed")
            draw_plan(page, document["plan"])
        for key in document["artifacts"]["uploaded"]:
            page.line(f"would upload {key}")
        return
    if document["action"] == "nothing" and not document["artifacts"]["uploaded"]:
        page.line(f"{stack} in {region}: nothing changes")
    elif document["action"] == "nothing":
        page.line(f"{stack} in {region}: the stack does not change, files were uploaded")
    else:
        page.line(f"{stack} in {region}: {document['action']} is done, {len(document['plan'])} changes")
    page.heading("resources")
    for verdict in document["resources"]:
        told = ". ".join(filter(None, (verdict["note"], verdict["hint"])))
        name = f"{verdict['type'].removeprefix('AWS::')} {verdict['name']}"
        page.line(f"{verdict['state']:<8} {name}{f': {told}' if told else ''}", _STYLES[verdict["state"]])
    if document["outputs"]:
        page.heading("outputs")
        page.table([Column(), Column()], [[name, value] for name, value in document["outputs"].items()])


def draw_destruction(page: Page, document: Document) -> None:
    if not document["stack_exists"] and not document["holdings"]:
        page.line(f"{document['stack']} in {document['region']}: there is nothing to destroy")
        return
    is_done = document["done"]
    if document["stack_exists"]:
        verb = "is gone" if is_done else "would go"
        page.line(f"stack {document['stack']} with {len(document['resources'])} resources {verb}")
    page.table(
        [Column(), Column("what the stack leaves"), Column(""), Column("it held" if is_done else "it holds")],
        [[h["kind"], h["name"], _fate(h, is_done), h["holds"]] for h in document["holdings"]],
    )
    if document["left"]:
        page.heading("left")
        for line in document["left"]:
            page.line(line)
    elif is_done:
        page.line("nothing is left")


def _fate(holding: Document, is_done: bool) -> str:
    if holding["fate"] == "kept":
        return "kept" if is_done else "would be kept"
    return "deleted" if is_done else "would be deleted"


def draw_status(page: Page, document: Document) -> None:
    page.line(f"{document['stack']} in {document['region']}: {document['state']}")
    _draw_runs(page, document["runs"])
    page.heading("freshness")
    newest = document["freshness"]["newest_event_file"]
    page.line(
        f"newest event file  {_moment(newest['written_at'])}  {newest['path']}"
        if newest
        else "newest event file  none"
    )
    page.line(f"gold committed at  {_moment(document['freshness']['gold_committed_at'])}")
    page.heading("laws")
    page.line(_laws_sentence(document["laws"]))
    page.heading("Athena")
    workgroup = document["workgroup"]
    if workgroup is None:
        page.line("no workgroup")
    else:
        cutoff = workgroup["bytes_scanned_cutoff"]
        limit = f"at most {cutoff:,} bytes a query" if cutoff else "no limit of bytes scanned"
        page.line(f"{workgroup['name']}  {workgroup['state']}, {limit}")
    _draw_cost(page, document["cost"])


def _draw_runs(page: Page, runs: Sequence[Document]) -> None:
    page.heading("runs of the job")
    if not runs:
        page.line("none yet")
        return
    page.table(
        [
            Column("started"),
            Column("state"),
            right("seconds"),
            right("DPU-hours"),
            Column("run"),
            Column("error"),
        ],
        [
            [
                _moment(run["started_at"]),
                run["state"],
                f"{run['seconds']:,}",
                cell_text(run["dpu_hours"]),
                run["run"][:_KEPT_SHORT],
                run["error"] or "",
            ]
            for run in runs
        ],
    )


def _laws_sentence(laws: Document) -> str:
    if laws["hold"] is None:
        return f"not known: {laws['trouble']}"
    if laws["hold"]:
        return f"{laws['checked']} laws held in run {laws['run']}"
    return f"broken in run {laws['run']}: {'; '.join(laws['broken'])}"


def _draw_cost(page: Page, cost: Document) -> None:
    page.heading(f"cost of {cost['month']} so far", f"by the price list, without {cost['without']}")
    more = " (and more, not counted)" if cost["athena"]["is_cut"] else ""
    page.table(
        [Column(), right(""), right(""), right("dollars")],
        [
            [
                "Glue",
                f"{cost['glue']['runs']:,} runs",
                f"{cost['glue']['dpu_hours']} DPU-hours",
                str(cost["glue"]["dollars"]),
            ],
            [
                "Athena",
                f"{cost['athena']['queries']:,} queries{more}",
                f"{cost['athena']['bytes_scanned']:,} bytes",
                str(cost["athena"]["dollars"]),
            ],
            ["together", "", "", str(cost["dollars"])],
        ],
    )


def _moment(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if value else "never"
