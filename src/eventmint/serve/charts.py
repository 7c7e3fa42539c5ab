"""Charts: one Plotly figure per question, drawn from the rows of its answer. One theme, one hue for data.

Every figure takes the Arrow table that `Lake.answer` returns and says in words what it shows: the days in
UTC, the unit, the total or the highest value. Money is exact until it becomes the length of a bar; labels are
made from the exact value. Names that come from data are shown as text, whatever they contain.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from eventmint.run_log import counted
from eventmint.serve.formats import share, short_count, short_money
from eventmint.serve.theme import (
    FOOT_PX,
    HEAD_PX,
    MUTED,
    PALE,
    ROW_PX,
    TEAL,
    TEXT_PX,
    as_text,
    bars,
    empty,
    every_day,
    in_template,
    label_end,
    plain_figure,
    scale,
    ticks,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# How to show a figure: without the bar of buttons, of which one sends the chart's data away.
CONFIG = {"displayModeBar": False, "showSendToCloud": False, "displaylogo": False, "responsive": True}
STEPS = ("Views", "Added to cart", "Purchases")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_BARS_UP_TO_DAYS = 6  # with fewer days than a week has, a mean per weekday says nothing
_CATEGORIES_SHOWN = 15
_PANELS, _PANELS_A_LINE, _PANEL_PX = 12, 4, 110
_GROUPS_SHOWN, _COHORTS_SHOWN = 15, 16
_STEP_PX = 64  # of the funnel: a bar, and room for the words below it

Row = Mapping[str, Any]


def conversion_funnel(rows: pa.Table) -> Figure:
    """Where are they lost? Three bars on one scale, and between them who goes on; events, not people."""
    found = rows.to_pylist()
    counts = [sum(row[column] for row in found) for column in ("views", "add_to_carts", "purchases")]
    products = counted(len({row["product_id"] for row in found}), "product")
    return funnel(counts, f"Events of {products}, {_days(found)}" if found else "")


def funnel(counts: Sequence[int], subtitle: str) -> Figure:
    """The same for sums of views, carts and purchases."""
    return _steps("From view to purchase", STEPS, counts, subtitle)


def journeys(rows: pa.Table, subtitle: str) -> Figure:
    """How far do they come? The steps of `Lake.funnel` on one scale; by product or category, the share that
    comes to the end, of the groups in which most begin."""
    found = rows.to_pylist()
    names = list(dict.fromkeys(row["event_type"] for row in found))
    title = f"From {as_text(names[0])} to {as_text(names[-1])}" if names else "Journeys"
    group = rows.column_names[0]
    if group == "step":
        return _steps(title, [as_text(name) for name in names], [row["journeys"] for row in found], subtitle)
    if not found:
        return empty(title)
    ends = [row for row in found if row["step"] == len(names)][:_GROUPS_SHOWN]
    began = {row[group]: row["journeys"] for row in found if row["step"] == 1}
    return bars(
        f"{title}, by {group}",
        subtitle,
        [row[group] for row in ends],
        [Decimal(100 * row["of_first"]) for row in ends],
        [f"{_rate(row['journeys'], began[row[group]])} of {short_count(began[row[group]])}" for row in ends],
        [f"{row['journeys']:,} of {began[row[group]]:,} journeys" for row in ends],
    )


def retention(rows: pa.Table, by: str) -> Figure:
    """Who comes again? A line for each first period, the share that was there again in each later one."""
    title = f"Users who come again, by {by}"
    found = rows.to_pylist()
    if not found:
        return empty(title)
    cohorts = sorted({row["cohort"] for row in found})[-_COHORTS_SHOWN:]
    longest = max(row["number"] for row in found if row["cohort"] in cohorts)
    cells = {(row["cohort"], row["number"]): row for row in found}
    share_of = [[_share(cells.get((day, n))) for n in range(longest + 1)] for day in cohorts]
    figure = plain_figure(
        title,
        f"Share of the users of a first {by} who came in a later one; the newest {by} is not over (UTC)",
        HEAD_PX + FOOT_PX + ROW_PX * max(len(cohorts), 3),
    )
    figure.add_heatmap(
        x=list(range(longest + 1)),
        y=list(range(len(cohorts))),
        z=share_of,
        text=[[_told_share(cells.get((day, n))) for n in range(longest + 1)] for day in cohorts],
        texttemplate="%{text}",
        customdata=[[_told_return(cells.get((day, n)), by) for n in range(longest + 1)] for day in cohorts],
        colorscale=[[0, PALE], [1, TEAL]],
        zmin=0,
        # The first period is all of them: no darker than the best later one.
        zmax=max((cell for row in share_of for cell in row[1:] if cell is not None), default=1) or 1,
        xgap=2,
        ygap=2,
        showscale=False,
        hoverongaps=False,
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.update_xaxes(
        showgrid=False, side="top", dtick=1, title={"text": f"{by}s later", "font": {"size": TEXT_PX}}
    )
    users = {row["cohort"]: row["users"] for row in found}
    figure.update_yaxes(
        showgrid=False,
        autorange="reversed",
        tickvals=list(range(len(cohorts))),
        ticktext=[f"{day} · {short_count(users[day])} users " for day in cohorts],
    )
    return figure


def hourly_revenue(rows: pa.Table) -> Figure:
    """When does the money come in? Each hour of a few days; from a week on the mean of weekday and hour."""
    found = rows.to_pylist()
    if not found:
        return empty("Revenue by hour")
    dates = [row["event_date"] for row in found]
    draw = _hours if (max(dates) - min(dates)).days < _BARS_UP_TO_DAYS else _week
    return draw(found)


def top_products(rows: pa.Table) -> Figure:
    """What do people look at? The ranks of the newest day: ranks of several days don't add up."""
    title = "Most viewed products"
    every = rows.to_pylist()
    if not every:
        return empty(title)
    newest = max(row["event_date"] for row in every)
    found = sorted((row for row in every if row["event_date"] == newest), key=lambda row: int(row["rank"]))
    return bars(
        title,
        f"Page views, {_days(found)}",
        [f"{row['product_id']}  {row['category']}" for row in found],
        [row["view_count"] for row in found],
        [f"{row['view_count']:,}" for row in found],
    )


def viewed_products(found: Sequence[Row], days: Sequence[date], subtitle: str) -> Figure:
    """What do people look at, over some days: ranked bars, and beside each its own days on its own scale.

    Args:
        found: `product_id`, `category`, `view_count`, and `daily`: the views of each of the days.
    """
    title = "Most viewed products"
    if not found:
        return empty(title)
    figure = bars(
        title,
        subtitle,
        [f"{row['product_id']}  {row['category']}" for row in found],
        [row["view_count"] for row in found],
        [f"{row['view_count']:,}" for row in found],
    )
    if len(days) > 1:
        # The bars have less room now, their labels need as much as before.
        start, end = figure.layout.xaxis.range
        figure.update_layout(
            xaxis_domain=[0, 0.76],
            xaxis_range=[start, end * 1.15],
            xaxis2={"domain": [0.82, 1], "anchor": "y", "visible": False, "fixedrange": True},
        )
        for place, row in enumerate(found):
            most = max(row["daily"]) or 1
            figure.add_scatter(
                **every_day(days[0]),
                y=[round(place + 0.28 - 0.56 * views / most, 3) for views in row["daily"]],
                xaxis="x2",
                mode="lines",
                line={"color": MUTED, "width": 1.5},
                customdata=row["daily"],
                hovertemplate="%{x|%-d %b}: %{customdata:,} views<extra></extra>",
            )
    return figure


def revenue_by_category(found: Sequence[Row]) -> Figure:
    """How do categories do, day by day? One small chart each, all on one scale, the highest sum first.

    Args: found: `event_date`, `category`, `events` and `revenue` of each day that a category has.
    """
    title = "Revenue by category and day"
    if not found:
        return empty(title)
    revenue: dict[str, dict[date, Decimal]] = defaultdict(dict)
    for row in found:
        revenue[row["category"]][row["event_date"]] = row["revenue"]
    ranked = sorted(revenue, key=lambda name: (-sum(revenue[name].values()), name))
    shown = ranked[:_PANELS]
    first, last = (pick(row["event_date"] for row in found) for pick in (min, max))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    more = f", {len(shown)} of {len(ranked)} categories" if len(shown) < len(ranked) else ""
    lines = -(-len(shown) // _PANELS_A_LINE)
    figure = plain_figure(title, f"All on one scale, {_days(found)}{more}", HEAD_PX + lines * _PANEL_PX)
    most = float(max(max(revenue[name].values()) for name in shown)) or 1.0
    for place, name in enumerate(shown):
        line, column = divmod(place, _PANELS_A_LINE)
        number = "" if place == 0 else str(place + 1)
        values = [revenue[name].get(day, Decimal(0)) for day in days]
        figure.add_bar(
            **every_day(first),
            y=[float(value) for value in values],
            xaxis=f"x{number}",
            yaxis=f"y{number}",
            marker_color=TEAL,
            # The category's own name, so that a click can tell which one was meant.
            meta=name,
            customdata=[f"${value:,.2f}" for value in values],
            hovertemplate=f"{in_template(name)}, %{{x|%-d %b}}: %{{customdata}}<extra></extra>",
        )
        left, width = column / _PANELS_A_LINE, 1 / _PANELS_A_LINE - 0.03
        top = 1 - line / lines
        figure.update_layout(
            {
                f"xaxis{number}": {
                    "domain": [left, left + width],
                    "anchor": f"y{number}",
                    "visible": False,
                    "fixedrange": True,
                },
                f"yaxis{number}": {
                    "domain": [top - 0.72 / lines, top - 0.22 / lines],
                    "anchor": f"x{number}",
                    "visible": False,
                    "fixedrange": True,
                    "range": [0, most * 1.05],
                },
            }
        )
        figure.add_annotation(
            x=left,
            y=top - 0.2 / lines,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            text=f"{as_text(name, 22)}  <b>{short_money(sum(values, Decimal(0)))}</b>",
        )
    return figure


def category_performance(rows: pa.Table) -> Figure:
    """How do categories do? Revenue of each over the whole period, the highest first, and its events."""
    title = "Revenue by category"
    found = rows.to_pylist()
    if not found:
        return empty(title)
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    events: Counter[str] = Counter()
    for row in found:
        revenue[row["category"]] += row["revenue"]
        events[row["category"]] += row["events"]
    ranked = sorted(revenue, key=lambda name: (-revenue[name], -events[name], name))
    shown = ranked[:_CATEGORIES_SHOWN]
    more = f", {len(shown)} of {len(ranked)} categories" if len(shown) < len(ranked) else ""
    total = sum(revenue.values(), Decimal(0))
    return bars(
        f"{title}: {short_money(total)} together",
        f"Revenue, and events of every type, {_days(found)}{more}",
        shown,
        [revenue[name] for name in shown],
        [f"{short_money(revenue[name])}  ·  {short_count(events[name])} events" for name in shown],
        [f"${revenue[name]:,.2f}<br>{events[name]:,} events" for name in shown],
    )


def user_activity(rows: pa.Table) -> Figure:
    """How many came? Users and sessions of each day; they are never added up over days."""
    title = "Visitors per day"
    found = sorted(rows.to_pylist(), key=lambda row: row["event_date"].toordinal())
    if not found:
        return empty(title)
    subtitle = f"Distinct users and sessions, {_days(found)}"
    if len(found) == 1:
        users, sessions = found[0]["unique_users"], found[0]["unique_sessions"]
        return bars(
            title, subtitle, ["Sessions", "Users"], [sessions, users], [f"{sessions:,}", f"{users:,}"]
        )
    figure = plain_figure(title, subtitle, 380)
    days = [row["event_date"] for row in found]
    for name, column, colour, dash in (
        ("Sessions", "unique_sessions", MUTED, "dot"),
        ("Users", "unique_users", TEAL, "solid"),
    ):
        values = [row[column] for row in found]
        line = {"color": colour, "dash": dash, "width": 2.5}
        hover = f"%{{x|%-d %b %Y}}: %{{y:,}} {name.lower()}<extra></extra>"
        figure.add_scatter(x=days, y=values, mode="lines+markers", line=line, hovertemplate=hover, name=name)
        label_end(figure, days[-1], values[-1], f"{name} {short_count(values[-1])}", colour)
    figure.update_xaxes(showgrid=False, tickformat="%-d %b", nticks=min(len(days), 10))
    scale(figure, max(row["unique_sessions"] for row in found), short_count)
    figure.update_layout(margin_r=120)
    return figure


CHARTS: Mapping[str, Callable[[pa.Table], Figure]] = {
    "conversion_funnel": conversion_funnel,
    "hourly_revenue": hourly_revenue,
    "top_products": top_products,
    "category_performance": category_performance,
    "user_activity": user_activity,
}


# ---- revenue by hour ---------------------------------------------------------------------------------------


def _hours(found: Sequence[Row]) -> Figure:
    """Every hour from the first to the last as a bar; an hour without a purchase is a gap."""
    best = max(found, key=lambda row: Decimal(row["total_revenue"]))
    total = sum((row["total_revenue"] for row in found), Decimal(0))
    figure = plain_figure(
        f"Revenue by hour: {short_money(total)} together",
        f"Most at {best['event_hour']:02d}:00 on {_day(best['event_date'])}, "
        f"{short_money(best['total_revenue'])}; {_days(found)}",
        380,
    )
    hours = [_hour(row) for row in found]
    span = (max(hours) - min(hours)) // timedelta(hours=1) + 1
    figure.add_bar(
        x=hours,
        y=[float(row["total_revenue"]) for row in found],
        marker_color=TEAL,
        text=[short_money(row["total_revenue"]) for row in found] if span <= 12 else None,  # noqa: PLR2004
        textposition="outside",
        cliponaxis=False,
        width=0.72 * 3_600_000,  # milliseconds, as the axis counts
        customdata=[f"${row['total_revenue']:,.2f}, {row['transaction_count']:,} purchases" for row in found],
        hovertemplate="%{x|%-d %b %H:%M}: %{customdata}<extra></extra>",
    )
    margin = max(timedelta(hours=1), timedelta(hours=6 - span) / 2)
    figure.update_xaxes(
        showgrid=False,
        tickformat="%H:%M\n%-d %b",
        range=[min(hours) - margin, max(hours) + margin],
        dtick=3_600_000 if span <= 12 else None,  # noqa: PLR2004
    )
    scale(figure, best["total_revenue"], short_money)
    return figure


def _week(found: Sequence[Row]) -> Figure:
    """The mean over all days of a weekday, those without a purchase in that hour included."""
    first, last = (pick(row["event_date"] for row in found) for pick in (min, max))
    days = Counter((first + timedelta(days=n)).weekday() for n in range((last - first).days + 1))
    sums: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for row in found:
        sums[row["event_date"].weekday(), row["event_hour"]] += row["total_revenue"]
    means = [[sums[day, hour] / days[day] for hour in range(24)] for day in range(7)]
    best = max(sums, key=lambda cell: (sums[cell] / days[cell[0]], -cell[0], -cell[1]))
    figure = plain_figure(
        "Revenue by weekday and hour",
        f"Mean of an hour; most on {WEEKDAYS[best[0]]} at {best[1]:02d}:00, "
        f"{short_money(means[best[0]][best[1]])}; {_days(found)}",
        380,
    )
    figure.add_heatmap(
        x=[f"{hour:02d}:00" for hour in range(24)],
        y=list(WEEKDAYS),
        z=[[float(mean) for mean in row] for row in means],
        customdata=[[f"${mean:,.2f}" for mean in row] for row in means],
        colorscale=[[0, PALE], [1, TEAL]],
        zmin=0,
        xgap=2,
        ygap=2,
        hovertemplate="%{y} %{x}: %{customdata}<extra></extra>",
        colorbar={"thickness": 10, "outlinewidth": 0, **ticks(means[best[0]][best[1]], short_money)},
    )
    figure.update_xaxes(
        showgrid=False, type="category", tickvals=[f"{hour:02d}:00" for hour in range(0, 24, 3)]
    )
    figure.update_yaxes(showgrid=False, type="category", autorange="reversed")
    return figure


def _hour(row: Row) -> datetime:
    day = row["event_date"]
    return datetime(day.year, day.month, day.day, row["event_hour"])  # noqa: DTZ001 - UTC; Plotly would shift it


# ---- steps and periods -------------------------------------------------------------------------------------


def _steps(title: str, names: Sequence[str], counts: Sequence[int], subtitle: str) -> Figure:
    """Bars on one scale, and between them who goes on."""
    if not any(counts):
        return empty(title)
    figure = bars(
        f"{title}: {_rate(counts[-1], counts[0])}",
        subtitle,
        names,
        counts,
        [f"{count:,}" for count in counts],
    )
    for place, (here, there) in enumerate(pairwise(counts)):
        figure.add_annotation(
            x=0, y=place + 0.5, text=_passage(here, there), showarrow=False, xanchor="left", xshift=2
        )
        figure.layout.annotations[-1].font.color = MUTED
    figure.update_layout(height=HEAD_PX + FOOT_PX + len(counts) * _STEP_PX, bargap=0.55)
    return figure


def _share(row: Row | None) -> float | None:
    return float(row["share"]) if row else None


def _told_share(row: Row | None) -> str:
    return share(row["returned"], row["users"]) if row else ""


def _told_return(row: Row | None, by: str) -> str:
    if row is None:
        return ""
    so_far = "" if row["is_over"] else ", so far"
    return (
        f"{row['returned']:,} of {row['users']:,} users of the {by} from {row['cohort']} "
        f"came in that from {row['period']}{so_far}"
    )


# ---- words ------------------------------------------------------------------------------------------------


def _passage(here: int, there: int) -> str:
    """Who goes on from one step to the next; more may go on than came, for events are counted, not people."""
    if not here:
        return "nobody came here"
    goes_on = f"\N{DOWNWARDS ARROW} {_rate(there, here)} continue"
    return f"{goes_on}, {here - there:,} leave" if there <= here else goes_on


def _rate(part: int, whole: int) -> str:
    return share(part, whole) if whole else "no views"


def _days(rows: Iterable[Row]) -> str:
    days = [row["event_date"] for row in rows]
    first, last = min(days), max(days)
    if first == last:
        return f"{_day(last)} {last.year} (UTC)"
    year = "" if first.year == last.year else f" {first.year}"
    return f"{_day(first)}{year} to {_day(last)} {last.year} (UTC)"


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"
