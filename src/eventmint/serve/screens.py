"""How each result looks on a screen. A screen is drawn from the very document that `--json` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from eventmint.run_log import counted
from eventmint.serve.formats import cell_text, is_number, jsonable, rows_of, share, shown_text
from eventmint.serve.terminal import BAR, Column, Page, right

Document = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]
_FILE_COUNTS = ("lines", "blank", "valid", "quarantined")
_RAW_SHOWN = 400
_NAMES_SHOWN = 10


# ---- the five answers ------------------------------------------------------------------------------------


def draw_answers(page: Page, document: Document) -> None:
    """The answers of a period: one in full, or all five."""
    period = document["period"]
    if not period["days"]:
        page.line(
            "No events yet. `eventmint status` says what came in, `eventmint run` takes in more."
            if period["is_all"]
            else "No events in this period. Choose other days with --from and --to."
        )
        return
    first, last = (jsonable(period[name]) for name in ("first_day", "last_day"))
    days = (
        f"{first} to {last} UTC, {counted(period['days'], 'day')} with events"
        if first != last
        else f"{first} UTC"
    )
    page.line(days)
    for name, rows in document["summaries"].items():
        _ANSWERS[name](page, rows, len(document["summaries"]) == 1)


def draw_demo(page: Page, document: Document) -> None:
    """The five answers, the laws, and whether all is as it must be."""
    if not document["run"]["changed"]:
        page.line("nothing is new; these are the answers")
    draw_answers(page, document)
    page.line()
    page.line(laws_sentence(document["run"]["lake"]))
    if document["differs_from_truth"] == []:
        page.line("equal to truth.json: every count, every answer, to the last cent")


def _draw_funnel(page: Page, rows: Rows, alone: bool) -> None:
    page.heading("conversion_funnel", "which products turn views into purchases?")
    if not rows:
        page.line("no events of products")
        return
    steps = {name: rows[0][f"all_{name}"] for name in ("views", "add_to_carts", "purchases")}
    most = max(steps.values())
    views, carts, purchases = steps.values()
    continues = {
        "views": "",
        "add_to_carts": _share_of(carts, views, "views"),
        "purchases": ", ".join(
            filter(None, (_share_of(purchases, carts, "carts"), _share_of(purchases, views, "views")))
        ),
    }
    page.table(
        [Column(), right(""), BAR, Column()],
        [[name, f"{n:,}", page.bar(n, most), continues[name]] for name, n in steps.items()],
    )
    shown = rows if alone else rows[:3]
    page.line()
    page.table(
        [
            Column("product"),
            right("views"),
            right("carts"),
            right("purchases"),
            right("revenue"),
            right("cart/view"),
            right("buy/cart"),
            right("buy/view"),
        ],
        [
            [
                row["product_id"],
                f"{row['views']:,}",
                f"{row['add_to_carts']:,}",
                f"{row['purchases']:,}",
                _money(row["revenue"]),
                _rate(row["add_to_carts"], row["views"]),
                _rate(row["purchases"], row["add_to_carts"]),
                _rate(row["purchases"], row["views"]),
            ]
            for row in shown
        ],
    )
    _more(page, shown, "products, most purchases first")


def _draw_hours(page: Page, rows: Rows, _alone: bool) -> None:
    page.heading("hourly_revenue", "when does the money come in? (hour of the day, UTC)")
    if not rows:
        page.line("no purchases")
        return
    most = max(row["total_revenue"] for row in rows)
    page.table(
        [Column("hour"), right("revenue"), right("purchases"), right("units"), BAR],
        [
            [
                f"{row['event_hour']:02d}:00",
                _money(row["total_revenue"]),
                f"{row['transaction_count']:,}",
                f"{row['units']:,}",
                page.bar(row["total_revenue"], most),
            ]
            for row in rows
        ],
    )


def _draw_top(page: Page, rows: Rows, _alone: bool) -> None:
    page.heading("top_products", "what do people look at?")
    most = rows[0]["view_count"] if rows else 0
    page.table(
        [right(""), Column("product"), Column("category"), right("views"), BAR],
        [
            [
                str(rank),
                row["product_id"],
                row["category"],
                f"{row['view_count']:,}",
                page.bar(row["view_count"], most),
            ]
            for rank, row in enumerate(rows, start=1)
        ],
    )
    _more(page, rows, "products")


def _draw_categories(page: Page, rows: Rows, _alone: bool) -> None:
    page.heading("category_performance", "how do categories do?")
    most = rows[0]["events"] if rows else 0
    page.table(
        [Column("category"), right("events"), right("views"), right("purchases"), right("revenue"), BAR],
        [
            [
                row["category"],
                f"{row['events']:,}",
                f"{row['page_views']:,}",
                f"{row['purchases']:,}",
                _money(row["revenue"]),
                page.bar(row["events"], most),
            ]
            for row in rows
        ],
    )
    _more(page, rows, "categories")


def _draw_activity(page: Page, rows: Rows, _alone: bool) -> None:
    page.heading("user_activity", "how many people come each day?")
    most = max((row["unique_users"] for row in rows), default=0)
    page.table(
        [Column("day"), right("users"), right("sessions"), right("events"), BAR],
        [
            [
                jsonable(row["event_date"]),
                f"{row['unique_users']:,}",
                f"{row['unique_sessions']:,}",
                f"{row['events']:,}",
                page.bar(row["unique_users"], most),
            ]
            for row in reversed(rows)
        ],
    )
    _more(page, rows, "days, the newest")


_ANSWERS: dict[str, Callable[[Page, Rows, bool], None]] = {
    "conversion_funnel": _draw_funnel,
    "hourly_revenue": _draw_hours,
    "top_products": _draw_top,
    "category_performance": _draw_categories,
    "user_activity": _draw_activity,
}


def _more(page: Page, rows: Rows, what: str) -> None:
    total = rows[0]["total"] if rows else 0
    if total > len(rows):
        page.line(f"({len(rows)} of {total:,} {what})", "dim")


# ---- the books -------------------------------------------------------------------------------------------


def laws_sentence(totals: Mapping[str, int]) -> str:
    """Return the two equations in numbers, and what is missing where they do not hold."""
    lines, blank, valid, quarantined = (totals[name] for name in ("lines", "blank", "valid", "quarantined"))
    replaced = totals.get("replaced", 0)
    suppressed = totals.get("suppressed", 0)
    retained = totals.get("retained", 0)
    events, duplicates = totals["events"], totals["duplicates"]
    holds = lines == blank + valid + quarantined + replaced + suppressed and valid == events + duplicates
    return (
        f"{'every line accounted for' if holds else 'LINES UNACCOUNTED FOR'}: "
        f"{counted(lines, 'line')} = {blank:,} blank + {valid:,} valid + {quarantined:,} quarantined"
        f"{f' + {replaced:,} of replaced files' if replaced else ''}"
        f"{f' + {suppressed:,} of forgotten people' if suppressed else ''}; "
        f"{valid:,} valid = {counted(events, 'event')} + {counted(duplicates, 'duplicate')}"
        f"{f'; retention has removed {retained:,} of these lines' if retained else ''}"
    )


def draw_run(page: Page, document: Document) -> None:
    if not document["changed"]:
        page.line("nothing is new: the answers are up to date")
    else:
        files = [f"{counted(document['files_landed'], 'file')} landed"]
        named = {
            "files_same_content": "same content",
            "files_set_aside": "set aside",
            "files_replaced": "replaced",
            "lines_replayed": "lines replayed",
        }
        files += [f"{document[name]:,} {words}" for name, words in named.items() if document[name]]
        page.line(f"{', '.join(files)} in {document['seconds']:.1f} s")
        if document["rolled_back_to"]:
            page.line(f"finished: the rollback to {document['rolled_back_to']}")
        page.line(_took(document["totals"]))
        if document["days"]:
            page.line(f"days     {_days(document['days'])}")
        for days in document["restated"]:
            page.line(f"restated {days}")
        for layer in document["retained"]:
            page.line(f"removed  {layer}")
    page.line(laws_sentence(document["lake"]))


def draw_status(page: Page, document: Document) -> None:
    page.table(
        [Column("table"), right("rows"), Column("one row per")],
        [
            [layer["table"], f"{layer['rows']:,}", layer["grain"].removeprefix("one row per ")]
            for layer in document["layers"]
        ],
    )
    page.line()
    totals = document["totals"]
    valid, duplicates = totals["valid"], totals["duplicates"]
    judged = valid + totals["quarantined"]
    last = document["last_run"]
    files = ", ".join(f"{n:,} {status}" for status, n in document["files"].items())
    facts = [
        ("files", files or "none"),
        ("newest event", _moment(document["newest_event"])),
        (
            "quarantined",
            f"{totals['quarantined']:,} of {judged:,} lines ({share(totals['quarantined'], judged)})",
        ),
        ("duplicates", f"{duplicates:,} of {valid:,} valid lines ({share(duplicates, valid)})"),
        ("last run", f"{_moment(last['started_at'])}, {last['seconds']:.1f} s" if last else "none"),
        ("laws", _verdict(document["laws_hold"])),
    ]
    page.table([Column(style="dim"), Column()], facts)
    page.line(laws_sentence(totals))


def draw_history(page: Page, document: Document) -> None:
    if not document["runs"]:
        page.line("no run has changed anything yet")
        return
    page.table(
        [
            Column("run"),
            Column("started"),
            right("seconds"),
            right("files"),
            right("lines"),
            right("new events"),
            right("quarantined"),
            Column("days"),
            Column("laws"),
        ],
        [
            [
                run["run_id"],
                _moment(run["started_at"]),
                f"{run['seconds']:.1f}",
                _what_it_was(run),
                f"{run['totals']['lines']:,}",
                f"{run['totals']['events']:+,}",
                f"{run['totals']['quarantined']:,}",
                _days(run["days"]) if run["days"] else "-",
                "hold" if run["laws_hold"] else "BROKEN",
            ]
            for run in document["runs"]
        ],
    )
    if len(document["runs"]) < document["count"]:
        page.line(f"({len(document['runs']):,} of {document['count']:,} runs; more with --limit)")


def _what_it_was(run: Document) -> str:
    """The files that a run took in; or what it did where that was no matter of files."""
    if not run["files_landed"]:
        if run.get("rolled_back_to"):
            return "rollback"
        if run.get("forgotten"):
            return "forgetting"
        if run.get("retained"):
            return "retention"
        if run.get("restated"):
            return "restatement"
        if run.get("lines_replayed"):
            return "replay"
    return f"{run['files_landed']:,}"


def draw_laws(page: Page, document: Document) -> None:
    broken = [law for law in document["laws"] if not law["holds"]]
    for law in broken:
        page.line(f"BROKEN  {law['text']}", "red")
    kinds = Counter((law["name"], law["terms"]) for law in document["laws"])
    breaches = Counter((law["name"], law["terms"]) for law in broken)
    page.table(
        [Column("law"), Column("says"), right("checked"), right("broken")],
        [[*kind, f"{count:,}", f"{breaches[kind]:,}"] for kind, count in kinds.items()],
    )
    verdict = f"{len(broken):,} are broken" if broken else "all hold"
    page.line(f"{len(document['laws']):,} equations checked: {verdict}")


def _verdict(holds: bool | None) -> str:
    return {True: "hold", False: "BROKEN: see `eventmint verify`", None: "not checked yet"}[holds]


def draw_maintenance(page: Page, document: Document) -> None:
    """What was done to each table, or would be; one line where there was nothing to do."""
    touched = [
        table
        for table in document["tables"]
        if table["files_before"] != table["files_after"]
        or table["snapshots_expired"]
        or table["orphans_removed"]
    ]
    if not touched:
        page.line("nothing to do" if document["is_complete"] else "no time for anything: run it again")
        return
    if document["dry_run"]:
        page.line("this would be done; sizes after a merge are known then only")
    page.table(
        [
            Column("table"),
            right("files"),
            right("after"),
            right("bytes"),
            right("after"),
            right("expired"),
            right("orphans"),
        ],
        [
            [
                table["table"],
                f"{table['files_before']:,}",
                f"{table['files_after']:,}",
                f"{table['bytes_before']:,}",
                f"{table['bytes_after']:,}",
                f"{table['snapshots_expired']:,}",
                f"{table['orphans_removed']:,}",
            ]
            for table in touched
        ],
    )
    if not document["is_complete"]:
        page.line("the time was up: run it again for the rest")


# ---- files, quarantine, health ---------------------------------------------------------------------------


def draw_files(page: Page, document: Document) -> None:
    below = document["below"]
    if below:
        page.line(f"below {below}", "dim")
    page.table(
        [
            Column("path"),
            Column("status"),
            Column("reason"),
            *map(right, _FILE_COUNTS),
        ],
        [
            [
                file["path"].removeprefix(below),
                file["status"],
                file["reason"] or "-",
                *(f"{file[name]:,}" for name in _FILE_COUNTS),
            ]
            for file in document["files"]
        ],
    )
    page.line(f"{counted(document['count'], 'file')}")


def draw_reasons(page: Page, document: Document) -> None:
    reasons = document["reasons"]
    if not reasons:
        page.line("no line in quarantine")
        return
    most = max(reasons.values())
    page.line(
        f"{counted(document['quarantined'], 'line')} in quarantine; a line can have more than one reason"
    )
    page.table(
        [Column("reason"), right("lines"), BAR],
        [[reason, f"{n:,}", page.bar(n, most)] for reason, n in reasons.items()],
    )


def draw_quarantined(page: Page, document: Document) -> None:
    for line in document["lines"]:
        page.heading(f"{line['file']}:{line['line_number']}", ", ".join(line["reasons"]))
        raw = line["raw"]
        page.line(raw[:_RAW_SHOWN] + (f"… ({len(raw):,} characters)" if len(raw) > _RAW_SHOWN else ""))


def draw_replay(page: Page, document: Document) -> None:
    """What judging the quarantine again did, or would do."""
    judged, passed, other = (document[name] for name in ("judged", "passed", "other_reasons"))
    if document["dry_run"] and document["changed"]:
        page.line("this would be done:")
    page.line(
        f"{counted(judged, 'line')} judged again: {passed:,} pass, {other:,} fail for other reasons now, "
        f"{judged - passed - other:,} as before"
    )
    if document["by_reason"]:
        page.table(
            [Column("reason before"), right("judged"), right("pass")],
            [
                [reason, f"{counts['judged']:,}", f"{counts['passed']:,}"]
                for reason, counts in document["by_reason"].items()
            ],
        )
    if document["cut"]:
        page.line(
            f"{counted(document['cut'], 'line')} cannot be judged again: only the first bytes were kept"
        )
    if document["files"]:
        page.line(f"files    {len(document['files']):,}")
    if document["days"]:
        page.line(f"days     {_days(document['days'])}")


def draw_restatement(page: Page, document: Document) -> None:
    """What making days anew did, or would do."""
    if not document["changed"]:
        page.line(f"{document['range']}: there is nothing of these days")
        return
    if document["dry_run"]:
        page.line("this would be done:")
    page.line(
        f"{document['range']}: {counted(document['lines'], 'line')} of bronze read again, "
        f"from files of {document['bytes_read']:,} bytes"
    )
    page.table(
        [Column("replaced"), right("files"), right("bytes")],
        [[table, f"{size['files']:,}", f"{size['bytes']:,}"] for table, size in document["replaced"].items()],
    )
    page.line(f"days     {_days(document['days'])}")
    if not document["dry_run"]:
        page.line(f"{_gain(document['events'])} in {document['seconds']:.1f} s")


def draw_backfill(page: Page, document: Document) -> None:
    """What taking in the files of some days did, or would do."""
    found = (
        f"{document['range']} of {document['source']}: {counted(document['files'], 'file')} "
        f"not known yet, {document['size_bytes']:,} bytes"
    )
    if document["dry_run"]:
        page.line(found)
        return
    page.line(f"{found}; taken in by {counted(document['batches'], 'run')} in {document['seconds']:.1f} s")
    if not document["batches"]:
        return
    page.line(
        f"{counted(document['files_landed'], 'file')} landed, "
        f"{document['files_same_content']:,} same content, "
        f"{document['files_set_aside']:,} set aside, {document['files_replaced']:,} replaced"
    )
    page.line(_took(document["totals"]))
    if document["days"]:
        page.line(f"days     {_days(document['days'])}")


def draw_rollback(page: Page, document: Document) -> None:
    """What a rollback did, or would do."""
    if not document["changed"]:
        page.line(f"the lake is as {document['to']} left it")
        return
    if document["dry_run"]:
        page.line("this would be done:")
    totals = document["totals"]
    page.line(
        f"back to {document['to']}: {totals['lines']:+,} lines, {totals['events']:+,} events, "
        f"{totals['quarantined']:+,} quarantined"
    )
    page.table(
        [Column(), Column()],
        [
            *(("undone" if not number else "", run) for number, run in enumerate(document["runs"])),
            *_some("taken in again", document["files"]),
            *_some("known again", document["files_back"]),
            ("days", _days(document["days"]) if document["days"] else "none"),
        ],
    )


def draw_forgetting(page: Page, document: Document) -> None:
    """What forgetting people did, or would do."""
    if document["dry_run"]:
        page.line("this would be done:")
    people = f"{document['users']:,} {'person' if document['users'] == 1 else 'people'}"
    page.line(f"{people}, {document['new']:,} new on the list, {document['unknown']:,} without a line")
    page.line(
        f"{counted(document['valid'] + document['quarantined'], 'line')}, "
        f"{document['quarantined']:,} of them quarantined, in {counted(document['files'], 'file')} of bronze"
    )
    if document["closed"]:
        page.line(f"{counted(document['closed'], 'event')} of days whose lines retention has removed")
    named = [
        source["path"] if source["lines"] is None else f"{source['path']}: {source['lines']:,} lines removed"
        for source in document["sources"]
    ]
    page.table(
        [Column(), Column()],
        [
            *(
                (name, f"{counted(abs(rows), 'row')} {'fewer' if rows > 0 else 'more'}")
                for name, rows in document["rows"].items()
            ),
            ("days", _days(document["days"]) if document["days"] else "none"),
            *_some("sources", named),
        ],
    )
    if document["changed"]:
        page.line("earlier states go with their files: nothing goes back behind this, who reads them fails")


def draw_expiry(page: Page, document: Document) -> None:
    """What retention did, or would do."""
    if not document["layers"]:
        page.line("every layer is kept for ever: see [retention] in eventmint.toml")
        return
    if document["dry_run"] and document["changed"]:
        page.line("this would be done:")
    page.line(f"newest event of {document['newest_day']}")
    page.table(
        [
            Column("layer"),
            Column("keeps from"),
            right("rows go"),
            right("in files"),
            right("bytes"),
            Column("days"),
        ],
        [
            [
                layer["layer"],
                layer["before"],
                f"{layer['rows']:,}",
                f"{layer['files']:,}",
                f"{layer['size_bytes']:,}",
                _days([*layer["days"]]) if layer["days"] else "-",
            ]
            for layer in document["layers"]
        ],
    )
    for location in document["damaged"]:
        page.line(f"damaged: {location}", "red")
    if not document["changed"]:
        page.line("nothing is older than that")
    elif document["purged"]:
        page.line("earlier states went with their files: nothing goes back behind this")


def _some(title: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """A list under its title, its beginning where it is long."""
    shown = [*names[:_NAMES_SHOWN]]
    if len(names) > _NAMES_SHOWN:
        shown.append(f"({len(names) - _NAMES_SHOWN:,} more, see --json)")
    return [(title if not number else "", name) for number, name in enumerate(shown)]


def draw_export(page: Page, document: Document) -> None:
    page.line(f"{counted(document['lines'], 'line')} in {document['file']}")


_PERIODS_SHOWN = 12


def draw_journeys(page: Page, document: Document, top: int) -> None:
    """A funnel of journeys; of products or categories those with most."""
    rows, by = document["rows"], document["by"]
    if not rows:
        page.line("No journey begins in this period. Choose other days or steps.")
        return
    page.line(f"journeys of a {document['per']}, {document['window']} at most")
    count = len(document["steps"])
    for first in range(0, min(len(rows), top * count), count):
        steps = rows[first : first + count]
        if by:
            page.heading(str(steps[0][by]))
        page.table(
            [
                Column("step"),
                right("journeys"),
                Column(""),
                right("of first"),
                right("of previous"),
                right("open"),
            ],
            [
                [
                    step["event_type"],
                    f"{step['journeys']:,}",
                    page.bar(step["journeys"], steps[0]["journeys"]),
                    _part(step["of_first"]),
                    _part(step["of_previous"]),
                    f"{step['open']:,}",
                ]
                for step in steps
            ],
        )
    if len(rows) > top * count:
        page.line(f"({top:,} of {len(rows) // count:,}, most journeys first; more with --top)")


def draw_retention(page: Page, document: Document) -> None:
    """A row per first period, a column per later one; a period that is not over has a +."""
    if not document["rows"]:
        page.line("No users yet.")
        return
    cohorts: dict[Any, list[Mapping[str, Any]]] = {}
    for row in document["rows"]:
        cohorts.setdefault(row["cohort"], []).append(row)
    shown = list(cohorts.items())[-_PERIODS_SHOWN:]
    page.table(
        [Column(f"first {document['by']}"), right("users"), *(right(f"+{n}") for n in range(1, len(shown)))],
        [
            [
                jsonable(cohort),
                f"{rows[0]['users']:,}",
                *(
                    f"{share(row['returned'], row['users'])}{'' if row['is_over'] else '+'}"
                    for row in rows[1:]
                ),
                *[""] * (len(shown) - len(rows)),
            ]
            for cohort, rows in shown
        ],
    )
    if len(cohorts) > len(shown):
        page.line(f"(the last {len(shown)} of {len(cohorts)}; all of them with --json)")


def _part(value: float | None) -> str:
    return "" if value is None else share(value, 1)


def draw_doctor(page: Page, document: Document) -> None:
    marks = {"ok": ("ok", ""), "warning": ("WARN", "yellow"), "broken": ("BROKEN", "red")}
    for check in document["checks"]:
        mark, style = marks[check["verdict"]]
        cure = f". {check['cure']}" if check["cure"] else ""
        page.line(f"{mark:<7} {check['name']:<9} {check['found']}{cure}", style)
    page.heading("settings")
    page.table(
        [Column("key"), Column("value"), Column("from")],
        [
            [setting["key"], cell_text(setting["value"]), setting["origin"]]
            for setting in document["settings"]
        ],
    )


def draw_result(page: Page, document: Document) -> None:
    """The rows of one statement; `rows` is an Arrow table."""
    rows = document["rows"]
    if not document["is_first"]:
        page.line()
    if document["title"]:
        page.line(document["title"], "bold")
    columns = [Column(field.name, right=is_number(field.type)) for field in rows.schema]
    page.table(columns, [[shown_text(value) for value in row] for row in rows_of(rows)])


# ---- words and numbers -----------------------------------------------------------------------------------


def _took(totals: Mapping[str, int]) -> str:
    """What lines that were taken in are."""
    return (
        f"{counted(totals['lines'], 'line')}: {_gain(totals['events'])}, "
        f"{counted(totals['duplicates'], 'duplicate')}, "
        f"{totals['quarantined']:,} quarantined, {totals['blank']:,} blank"
    )


def _gain(events: int) -> str:
    return counted(events, "new event") if events >= 0 else f"{counted(-events, 'event')} fewer"


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _share_of(part: int, whole: int, noun: str) -> str:
    return f"{share(part, whole)} of {noun}" if whole else ""


def _rate(part: int, whole: int) -> str:
    return f"{part / whole:.4f}" if whole else "-"


def _moment(moment: datetime | str | None) -> str:
    if moment is None:
        return "none"
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{parsed.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _days(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({counted(len(days), 'day')})"
