"""The theme: how every figure looks. One hue for data, words outside the axes, names from data as text."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eventmint.errors import FixSettings
from eventmint.serve.streams import plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CARD, INK, MUTED, LINE, TEAL, PALE = "#ffffff", "#1c1f24", "#5b626d", "#e4e4df", "#0f6b66", "#f1f6f5"
# What a page that is dark puts in the place of each.
DARK = {CARD: "#1c2024", INK: "#eceeef", MUTED: "#a3abb5", LINE: "#343a41", TEAL: "#4fbcb3", PALE: "#242a2f"}
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', sans-serif"
TEXT_PX, TITLE_PX = 13, 15
ROW_PX, HEAD_PX, FOOT_PX = 34, 84, 28
NOTHING = "No events in this period."

_LONGEST_NAME = 28
_ROOM_FOR_A_LETTER = 0.022  # of the longest bar, for the label behind it
_STEPS = (Decimal("0.2"), Decimal("0.5"), Decimal(1), Decimal(2))


def plain_figure(title: str, subtitle: str, height: int) -> Figure:
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


def every_day(first: date) -> dict[str, Any]:
    """The days of a trace from the first on, without naming each."""
    return {"x0": first.isoformat(), "dx": 86_400_000}


def bars(
    title: str,
    subtitle: str,
    names: Sequence[str],
    values: Sequence[Decimal | int],
    labels: Sequence[str],
    hovers: Sequence[str] | None = None,
) -> Figure:
    """Bars from top to bottom with the value at the end, and no axis to read it from."""
    figure = plain_figure(title, subtitle, HEAD_PX + FOOT_PX + ROW_PX * max(len(names), 2))
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


def empty(title: str) -> Figure:
    figure = plain_figure(title, "UTC", 200)
    figure.add_annotation(
        text=NOTHING, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font_color=MUTED
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def scale(figure: Figure, most: Decimal | int, tell: Callable[[Decimal], str]) -> None:
    """Let the vertical axis begin at nothing, with a few round values in the words of the labels."""
    figure.update_yaxes(range=[0, max(float(most) * 1.12, 1)], **ticks(most, tell))


def ticks(most: Decimal | int, tell: Callable[[Decimal], str]) -> dict[str, list[Any]]:
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


def label_end(figure: Figure, x: date, y: float, text: str, colour: str) -> None:
    figure.add_annotation(x=x, y=y, text=text, showarrow=False, xanchor="left", xshift=10, font_color=colour)


def as_text(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a name from data so that Plotly shows it and never reads tags in it."""
    shown = plain(name)
    cut = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    # A dollar sign at both ends would be a formula; Plotly puts %{...} in templates only.
    return html.escape(cut, quote=False).replace("$", "&#36;")


def require_plotly() -> None:
    """Raises: FixSettings: plotly is not installed."""
    _plotly()


def in_template(name: str) -> str:
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
