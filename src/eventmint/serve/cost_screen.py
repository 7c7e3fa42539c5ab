"""The screen of `cost`: drawn from the very document that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from eventmint.serve.formats import cell_text
from eventmint.serve.terminal import Column, Page, right

Document = Mapping[str, Any]
_CENT = Decimal("0.01")


def draw_cost(page: Page, document: Document) -> None:
    """Storage, queries, runs, the month; then what was assumed."""
    _draw_storage(page, document["storage"])
    _draw_queries(page, document["queries"])
    _draw_runs(page, document["runs"])
    _draw_month(page, document["month"])
    _draw_prices(page, document["prices"])


def _draw_storage(page: Page, storage: Document) -> None:
    page.heading("storage", f"of {storage['lines']:,} lines; live data files")
    raw, gzip = storage["raw"], storage["gzip"]
    rows = [
        ["raw JSON", "", "", _size(raw["bytes_per_million"]), "", ""],
        ["gzip", "", _size(gzip["bytes"]), _size(gzip["bytes_per_million"]), _less(gzip, raw), ""],
    ]
    rows += [
        [
            layer["layer"],
            f"{layer['files']:,}",
            _size(layer["bytes"]),
            _size(layer["bytes_per_million"]),
            _share(layer["reduction"]),
            _dollars(layer["dollars_per_month"]),
        ]
        for layer in storage["layers"]
    ]
    page.table(
        [
            Column(),
            right("files"),
            right("bytes"),
            right("per million"),
            right("less than raw"),
            right("$/month"),
        ],
        rows,
    )
    page.line(_measured(raw))
    if "other_bytes" in storage:
        page.line(f"besides: {_size(storage['other_bytes'])} of metadata and replaced files not yet removed")
    specified, bronze = storage["specification"], storage["layers"][0]
    page.line(
        f"bronze against raw JSON: {_share(bronze['reduction'])} less, "
        f"{_size(bronze['bytes_per_million'])} per million; the specification says "
        f"{_share(specified['reduction'])} and {_size(specified['bronze_bytes_per_million'])}"
    )


def _measured(raw: Document) -> str:
    if not raw["at_most"]:
        return "raw JSON: not known: no file was to be unpacked"
    if not raw["measured_files"]:
        return "raw JSON: not known: the source files are gone, or not on this machine"
    return (
        f"raw JSON: measured over {raw['measured_files']:,} of {raw['files']:,} files by unpacking them "
        f"({raw['measured_lines']:,} lines)"
    )


def _draw_queries(page: Page, queries: Sequence[Document]) -> None:
    page.heading("queries in Athena", "columns they touch, from the footers")
    page.table(
        [Column("query"), right("touches"), right("files"), right("dollars"), Column(), right("ok for days")],
        [
            [
                query["title"].split(":")[0] or ", ".join(scan["table"] for scan in query["scans"]),
                _size(query["bytes"]),
                _size(query["bytes_of_whole_files"]),
                _dollars(query["dollars"]),
                "ok" if query["ok"] else "OVER",
                f"{query['ok_for_days']:,}" if query["ok_for_days"] else "-",
            ]
            for query in queries
        ],
    )
    if queries:
        page.line(
            f"ok is {_dollars(queries[0]['limit'])} or less, and stays so for as many days like the largest; "
            "10 MB are the least that is billed"
        )
        page.line("an engine may fetch small files whole: `files` is the most that it can scan")


def _draw_runs(page: Page, runs: Document) -> None:
    page.heading("runs", f"as if on Glue: {runs['workers']} workers {runs['worker_type']}, a minute at least")
    page.table(
        [Column("run"), right("lines"), right("seconds"), right("DPU-seconds"), right("dollars")],
        [
            [
                run["run_id"],
                f"{run['lines']:,}",
                f"{run['seconds']:.1f}",
                f"{run['dpu_seconds']:,.0f}",
                _dollars(run["dollars"]),
            ]
            for run in runs["last"]
        ],
    )
    if runs["count"] > len(runs["last"]):
        page.line(f"(the last {len(runs['last'])} of {runs['count']:,} runs)", "dim")


def _draw_month(page: Page, month: Document) -> None:
    assumed = {line["name"]: line["value"] for line in month["assumptions"]}
    events = assumed["days"] * assumed["files_per_day"] * assumed["events_per_file"]
    page.heading("a month", f"of {events:,} events, without free tiers")
    rows = [
        [line["name"], f"{line['quantity']:,.1f}", line["unit"], _dollars(line["dollars"])]
        for line in month["lines"]
    ]
    page.table(
        [Column(), right("quantity"), Column(), right("dollars")],
        [*rows, ["total", "", "", _dollars(month["dollars"])]],
    )
    for line in month["lines"]:
        page.line(f"{line['name']}: {line['how']}", "dim")
    page.heading("assumed")
    page.table(
        [Column(), right(""), Column()],
        [[line["name"], cell_text(line["value"]), line["why"]] for line in month["assumptions"]],
    )


def _draw_prices(page: Page, prices: Document) -> None:
    listed = prices["list"]
    oldest = min(price["looked_up"] for price in listed)
    unseen = [price["name"] for price in listed if price["seen"] == "nowhere"]
    page.line()
    page.line(f"list prices of {prices['region']}, looked up on {oldest}; see --json for each")
    if unseen:
        page.line(f"not confirmed by any page: {', '.join(unseen)}")


def _less(part: Document, raw: Document) -> str:
    whole = raw["bytes_per_million"]
    return _share(1 - part["bytes_per_million"] / whole) if whole else "-"


def _share(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _size(size_bytes: Decimal | int | None) -> str:
    """Bytes in the unit that suits, by thousands as prices are."""
    if size_bytes is None:
        return "not known"
    value, unit = Decimal(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:  # noqa: PLR2004 - what a unit is
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} B" if unit == "B" else f"{value:,.1f} {unit}"


def _dollars(amount: Decimal) -> str:
    """Cents where there are some, else as many digits as tell the amount from nothing."""
    if amount == 0 or amount >= _CENT:
        return f"${amount:,.2f}"
    return f"${amount:.6f}"
