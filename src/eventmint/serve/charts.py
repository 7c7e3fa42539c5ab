"""Charts: one Plotly figure per question, drawn from the rows of its answer. One theme, one hue for data.

Every figure takes the Arrow table that `Lake.answer` returns and says in words what it shows: the days in
UTC, the unit, the total or the highest value. Money is exact until it becomes the length of a bar; labels are
made from the exact value. Names that come from data are shown as text, whatever they contain.
"""

from __future__ import annotations

import html
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from eventmint.errors import FixSettings
from eventmint.serve.formats import share, short_count, short_money
from eventmint.serve.streams import plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CARD, INK, MUTED, LINE, TEAL, PALE = "#ffffff", "#1c1f24", "#5b626d", "#e4e4df", "#0f6b66", "#f1f6f5"
# What a page that is dark puts in the place of each.
DARK = {CARD: "#1c2024", INK: "#eceeef", MUTED: "#a3abb5", LINE: "#343a41", TEAL: "#4fbcb3", PALE: "#242a2f"}
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', sans-serif"
TEXT_PX, TITLE_PX = 13, 15
ROW_PX, HEAD_PX, FOOT_PX = 34, 84, 28
STEPS = ("Views", "Added to cart", "Purchases")
NOTHING = "No events in this period."
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

# How to show a figure: without the bar of buttons, of which one sends the chart's data away.
CONFIG = {"displayModeBar": False, "showSendToCloud": False, "displaylogo": False, "responsive": True}

_LONGEST_NAME = 28
_BARS_UP_TO_DAYS = 6  # with fewer days than a week has, a mean per weekday says nothing
_ROOM_FOR_A_LETTER = 0.022  # of the longest bar, for the label behind it
_CATEGORIES_SHOWN = 15
_PANELS, _PANELS_A_LINE, _PANEL_PX = 12, 4, 110
_STEP_PX = 64  # of the funnel: a bar, and room for the words below it
_STEPS = (Decimal("0.2"), Decimal("0.5"), Decimal(1), Decimal(2))

Row = Mapping[str, Any]


def conversion_funnel(rows: pa.Table) -> Figure:
    """Where are they lost? Three bars on one scale, and between them who goes on; events, not people."""
    found = rows.to_pylist()
    counts = [sum(row[column] for row in found) for column in ("views", "add_to_carts", "purchases")]
    products = _count(len({row["product_id"] for row in found}), "product")
    return funnel(counts, f"Events of {products}, {_days(found)}" if found else "")


def funnel(counts: Sequence[int], subtitle: str) -> Figure:
    """The same for sums of views, carts and purchases."""
    title = "From view to purchase"
    steps = list(zip(STEPS, counts, strict=True))
    if not any(counts):
        return _empty(title)
    figure = _bars(
        f"{title}: {_rate(steps[2][1], steps[0][1])}",
        subtitle,
        [name for name, _ in steps],
        [count for _, count in steps],
        [f"{count:,}" for _, count in steps],
    )
    for place, (here, there) in enumerate(pairwise(steps)):
        figure.add_annotation(
            x=0, y=place + 0.5, text=_passage(here[1], there[1]), showarrow=False, xanchor="left", xshift=2
        )
        figure.layout.annotations[-1].font.color = MUTED
    figure.update_layout(height=HEAD_PX + FOOT_PX + len(steps) * _STEP_PX, bargap=0.55)
    return figure


def hourly_revenue(rows: pa.Table) -> Figure:
    """When does the money come in? Each hour of a few days; from a week on the mean of weekday and hour."""
    found = rows.to_pylist()
    if not found:
        return _empty("Revenue by hour")
    dates = [row["event_date"] for row in found]
    draw = _hours if (max(dates) - min(dates)).days < _BARS_UP_TO_DAYS else _week
    return draw(found)


def top_products(rows: pa.Table) -> Figure:
    """What do people look at? The ranks of the newest day: ranks of several days don't add up."""
    title = "Most viewed products"
    every = rows.to_pylist()
    if not every:
        return _empty(title)
    newest = max(row["event_date"] for row in every)
    found = sorted((row for row in every if row["event_date"] == newest), key=lambda row: int(row["rank"]))
    return _bars(
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
        return _empty(title)
    figure = _bars(
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
                **_every_day(days[0]),
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
        return _empty(title)
    revenue: dict[str, dict[date, Decimal]] = defaultdict(dict)
    for row in found:
        revenue[row["category"]][row["event_date"]] = row["revenue"]
    ranked = sorted(revenue, key=lambda name: (-sum(revenue[name].values()), name))
    shown = ranked[:_PANELS]
    first, last = (pick(row["event_date"] for row in found) for pick in (min, max))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    more = f", {len(shown)} of {len(ranked)} categories" if len(shown) < len(ranked) else ""
    lines = -(-len(shown) // _PANELS_A_LINE)
    figure = _figure(title, f"All on one scale, {_days(found)}{more}", HEAD_PX + lines * _PANEL_PX)
    most = float(max(max(revenue[name].values()) for name in shown)) or 1.0
    for place, name in enumerate(shown):
        line, column = divmod(place, _PANELS_A_LINE)
        number = "" if place == 0 else str(place + 1)
        values = [revenue[name].get(day, Decimal(0)) for day in days]
        figure.add_bar(
            **_every_day(first),
            y=[float(value) for value in values],
            xaxis=f"x{number}",
            yaxis=f"y{number}",
            marker_color=TEAL,
            # The category's own name, so that a click can tell which one was meant.
            meta=name,
            customdata=[f"${value:,.2f}" for value in values],
            hovertemplate=f"{_in_template(name)}, %{{x|%-d %b}}: %{{customdata}}<extra></extra>",
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
        return _empty(title)
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    events: Counter[str] = Counter()
    for row in found:
        revenue[row["category"]] += row["revenue"]
        events[row["category"]] += row["events"]
    ranked = sorted(revenue, key=lambda name: (-revenue[name], -events[name], name))
    shown = ranked[:_CATEGORIES_SHOWN]
    more = f", {len(shown)} of {len(ranked)} categories" if len(shown) < len(ranked) else ""
    total = sum(revenue.values(), Decimal(0))
    return _bars(
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
        return _empty(title)
    subtitle = f"Distinct users and sessions, {_days(found)}"
    if len(found) == 1:
        users, sessions = found[0]["unique_users"], found[0]["unique_sessions"]
        return _bars(
            title, subtitle, ["Sessions", "Users"], [sessions, users], [f"{sessions:,}", f"{users:,}"]
        )
    figure = _figure(title, subtitle, 380)
    days = [row["event_date"] for row in found]
    for name, column, colour, dash in (
        ("Sessions", "unique_sessions", MUTED, "dot"),
        ("Users", "unique_users", TEAL, "solid"),
    ):
        values = [row[column] for row in found]
        line = {"color": colour, "dash": dash, "width": 2.5}
        hover = f"%{{x|%-d %b %Y}}: %{{y:,}} {name.lower()}<extra></extra>"
        figure.add_scatter(x=days, y=values, mode="lines+markers", line=line, hovertemplate=hover, name=name)
        _label_end(figure, days[-1], values[-1], f"{name} {short_count(values[-1])}", colour)
    figure.update_xaxes(showgrid=False, tickformat="%-d %b", nticks=min(len(days), 10))
    _scale(figure, max(row["unique_sessions"] for row in found), short_count)
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
    figure = _figure(
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
    _scale(figure, best["total_revenue"], short_money)
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
    figure = _figure(
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
        colorbar={"thickness": 10, "outlinewidth": 0, **_ticks(means[best[0]][best[1]], short_money)},
    )
    figure.update_xaxes(
        showgrid=False, type="category", tickvals=[f"{hour:02d}:00" for hour in range(0, 24, 3)]
    )
    figure.update_yaxes(showgrid=False, type="category", autorange="reversed")
    return figure


def _hour(row: Row) -> datetime:
    day = row["event_date"]
    return datetime(day.year, day.month, day.day, row["event_hour"])  # noqa: DTZ001 - UTC; Plotly would shift it


# ---- what all figures share --------------------------------------------------------------------------------


def _figure(title: str, subtitle: str, height: int) -> Figure:
    figure = _plotly().Figure()
    axis = {"gridcolor": LINE, "linecolor": LINE, "zeroline": False, "fixedrange": True, "ticks": ""}
    figure.update_layout(
        template="none",
        title={
            "text": f'<b>{title}</b><br><span style="font-size:{TEXT_PX}px;color:{MUTED}">{subtitle}</span>',
            "font": {"size": TITLE_PX, "color": INK},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 20, "t": 26},
        },
        font={"family": FONT, "size": TEXT_PX, "color": INK},
        paper_bgcolor=CARD,
        plot_bgcolor=CARD,
        height=height,
        # The same words for who shows them outside the figure, or says them.
        meta={"title": title, "subtitle": subtitle},
        margin={"l": 20, "r": 24, "t": HEAD_PX, "b": FOOT_PX},
        showlegend=False,
        dragmode=False,
        # The button to share would send the rows to a server of Plotly's.
        modebar={"remove": ["sendChartToCloud", "select", "lasso"], "color": MUTED, "bgcolor": CARD},
        hoverlabel={"bgcolor": CARD, "bordercolor": LINE, "font": {"family": FONT, "color": INK}},
        xaxis={**axis, "automargin": True},
        yaxis={**axis, "automargin": True},
    )
    return figure


def _every_day(first: date) -> dict[str, Any]:
    """The days of a trace from the first on, without naming each."""
    return {"x0": first.isoformat(), "dx": 86_400_000}


def _bars(
    title: str,
    subtitle: str,
    names: Sequence[str],
    values: Sequence[Decimal | int],
    labels: Sequence[str],
    hovers: Sequence[str] | None = None,
) -> Figure:
    """Bars from top to bottom with the value at the end, and no axis to read it from."""
    figure = _figure(title, subtitle, HEAD_PX + FOOT_PX + ROW_PX * max(len(names), 2))
    # By place, not by name: two names cut short may be one text, and a name may look like a number.
    places = list(range(len(names)))
    figure.add_bar(
        x=[float(value) for value in values],
        y=places,
        orientation="h",
        marker_color=TEAL,
        text=labels,
        textposition="outside",
        cliponaxis=False,
        customdata=[
            f"{as_text(name, len(name))}: {hover}"
            for name, hover in zip(names, hovers or labels, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    room = 1 + _ROOM_FOR_A_LETTER * max(map(len, labels))
    figure.update_xaxes(visible=False, range=[0, max(1.0, float(max(values))) * room])
    figure.update_yaxes(
        showgrid=False,
        tickvals=places,
        ticktext=[f"{as_text(name)}  " for name in names],
        range=[len(names) - 0.5, -0.5],
    )
    figure.update_layout(bargap=0.35)
    return figure


def _empty(title: str) -> Figure:
    figure = _figure(title, "UTC", 200)
    figure.add_annotation(
        text=NOTHING, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font_color=MUTED
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def _scale(figure: Figure, most: Decimal | int, tell: Callable[[Decimal], str]) -> None:
    """Let the vertical axis begin at nothing, with a few round values in the words of the labels."""
    ticks = _ticks(most, tell)
    figure.update_yaxes(range=[0, max(float(most) * 1.12, 1)], **ticks)


def _ticks(most: Decimal | int, tell: Callable[[Decimal], str]) -> dict[str, list[Any]]:
    """Return at most six round values from nothing to the highest."""
    unit = Decimal(1).scaleb(max(Decimal(most), Decimal(1)).adjusted())
    step = next(unit * part for part in _STEPS if unit * part * 5 >= most)
    values = [step * n for n in range(6) if step * n <= most]
    return {
        "tickvals": [float(value) for value in values],
        "ticktext": [_plainer(tell(value)) for value in values],
    }


def _plainer(text: str) -> str:
    """Return `$20.0K` as `$20K`: round values need no decimals."""
    return re.sub(r"\.?0+(?=[KMBT]$)", "", text) if "." in text else text


def _label_end(figure: Figure, x: date, y: float, text: str, colour: str) -> None:
    figure.add_annotation(x=x, y=y, text=text, showarrow=False, xanchor="left", xshift=10, font_color=colour)


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


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def as_text(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a name from data so that Plotly shows it and never reads tags in it."""
    shown = plain(name)
    cut = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    # A dollar sign at both ends would be a formula; Plotly puts %{...} in templates only.
    return html.escape(cut, quote=False).replace("$", "&#36;")


def require_plotly() -> None:
    """Raises: FixSettings: plotly is not installed."""
    _plotly()


def _in_template(name: str) -> str:
    """Return a name from data as it may stand in a template, where %{...} would be filled in."""
    return as_text(name).replace("%", "&#37;")


def _plotly() -> Any:
    try:
        import plotly.graph_objects as go
    except ModuleNotFoundError as err:
        raise FixSettings(
            "plotly is not installed, and charts need it.",
            "Install it with `pip install 'eventmint[pages]'`.",
        ) from err
    return go
