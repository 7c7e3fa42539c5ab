"""Charts say what the answer's rows say: lengths, labels, days; whatever the names in the data contain."""

from __future__ import annotations

import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from eventmint.contracts import ANSWERS, contract
from eventmint.engine.parquet import arrow_schema
from eventmint.errors import FixSettings
from eventmint.lake import open_lake
from eventmint.serve import charts
from eventmint.serve.formats import short_count, short_money

THURSDAY = date(2026, 1, 15)
Row = dict[str, Any]


def rows_of(name: str, *rows: Row) -> pa.Table:
    """An answer's table: what a row leaves out is a value of no interest."""
    schema = arrow_schema(contract(f"gold.{name}"))
    filling = {"date32[day]": THURSDAY, "string": "x", "double": None}
    blank = {field.name: filling.get(str(field.type), 0) for field in schema}
    return pa.Table.from_pylist([blank | row for row in rows], schema=schema)


def title_of(figure: Any) -> str:
    return str(figure.layout.title.text)


def labels_of(figure: Any) -> list[tuple[str, str]]:
    """Name and label of each bar, from top to bottom."""
    names = [text.rstrip() for text in figure.layout.yaxis.ticktext]
    return list(zip(names, figure.data[0].text, strict=True))


# ---- each chart --------------------------------------------------------------------------------------------


def test_the_funnel_adds_up_products_and_tells_who_goes_on() -> None:
    figure = charts.conversion_funnel(
        rows_of(
            "conversion_funnel",
            {"product_id": "a", "views": 1500, "add_to_carts": 150, "purchases": 1},
            {"product_id": "b", "views": 500, "add_to_carts": 50, "purchases": 0},
        )
    )
    assert labels_of(figure) == [("Views", "2,000"), ("Added to cart", "200"), ("Purchases", "1")]
    assert list(figure.data[0].x) == [2000, 200, 1]
    passages = [note.text for note in figure.layout.annotations]
    assert passages == ["↓ 10.0% continue, 1,800 leave", "↓ 0.5% continue, 199 leave"]
    assert "From view to purchase: <0.1%" in title_of(figure)
    assert "Events of 2 products, 15 Jan 2026 (UTC)" in title_of(figure)


def test_more_carts_than_views_neither_leave_nor_break_the_scale() -> None:
    row = {"views": 100, "add_to_carts": 115, "purchases": 0}
    figure = charts.conversion_funnel(rows_of("conversion_funnel", row))
    assert figure.layout.annotations[0].text == "↓ 115.0% continue"
    assert figure.layout.xaxis.range[1] > 115


def test_products_in_carts_that_nobody_viewed_have_no_rate() -> None:
    row = {"views": 0, "add_to_carts": 3, "purchases": 0}
    figure = charts.conversion_funnel(rows_of("conversion_funnel", row))
    assert "From view to purchase: no views" in title_of(figure)
    assert figure.layout.annotations[0].text == "nobody came here"


def test_a_few_days_of_revenue_are_bars_of_hours_and_the_best_one_is_named() -> None:
    figure = charts.hourly_revenue(
        rows_of(
            "hourly_revenue",
            {"event_hour": 10, "total_revenue": Decimal("98000.10"), "transaction_count": 7},
            {"event_hour": 12, "total_revenue": Decimal("1000.20"), "transaction_count": 1},
        )
    )
    assert list(figure.data[0].x) == [datetime(2026, 1, 15, 10), datetime(2026, 1, 15, 12)]  # noqa: DTZ001
    assert list(figure.data[0].customdata) == ["$98,000.10, 7 purchases", "$1,000.20, 1 purchases"]
    assert "Revenue by hour: $99.0K together" in title_of(figure)
    assert "Most at 10:00 on 15 Jan, $98.0K; 15 Jan 2026 (UTC)" in title_of(figure)
    assert list(figure.layout.yaxis.ticktext) == ["$0", "$20K", "$40K", "$60K", "$80K"]


def test_weeks_of_revenue_are_means_that_count_days_without_a_purchase() -> None:
    figure = charts.hourly_revenue(
        rows_of(
            "hourly_revenue",
            {"event_date": THURSDAY, "event_hour": 9, "total_revenue": Decimal(30)},
            {"event_date": THURSDAY + timedelta(days=9), "event_hour": 20, "total_revenue": Decimal(25)},
        )
    )
    (heat,) = figure.data
    cells = {
        (heat.y[day], heat.x[hour]): heat.z[day][hour]
        for day in range(7)
        for hour in range(24)
        if heat.z[day][hour]
    }
    # Two Thursdays, of which one sold nothing; two Saturdays, the second of them the last day.
    assert cells == {("Thu", "09:00"): 15.0, ("Sat", "20:00"): 12.5}
    assert heat.customdata[3][9] == "$15.00"
    assert "most on Thu at 09:00, $15; 15 Jan to 24 Jan 2026 (UTC)" in title_of(figure)


def test_top_products_are_those_of_the_newest_day_in_their_rank() -> None:
    figure = charts.top_products(
        rows_of(
            "top_products",
            {"event_date": date(2026, 1, 14), "rank": 1, "product_id": "old", "view_count": 9999},
            {"rank": 2, "product_id": "b", "category": "toys", "view_count": 5},
            {"rank": 1, "product_id": "a", "category": "books", "view_count": 1234},
        )
    )
    assert labels_of(figure) == [("a  books", "1,234"), ("b  toys", "5")]
    assert "Page views, 15 Jan 2026 (UTC)" in title_of(figure)


def test_categories_add_up_over_days_to_the_last_cent_of_sums_too_long_for_a_float() -> None:
    huge = Decimal("9007199254740993.10")
    figure = charts.category_performance(
        rows_of(
            "category_performance",
            {"event_date": date(2025, 12, 31), "category": "toys", "revenue": huge, "events": 700},
            {"category": "toys", "revenue": Decimal("0.20"), "events": 800},
            {"category": "(none)", "revenue": Decimal(0), "events": 3},
        )
    )
    assert labels_of(figure) == [("toys", "$9,007T  ·  1.50K events"), ("(none)", "$0  ·  3 events")]
    assert figure.data[0].customdata[0] == "toys: $9,007,199,254,740,993.30<br>1,500 events"
    assert "31 Dec 2025 to 15 Jan 2026 (UTC)" in title_of(figure)


def test_many_categories_are_cut_and_that_is_said() -> None:
    rows = [{"category": f"c{n:02}", "revenue": Decimal(n)} for n in range(20)]
    figure = charts.category_performance(rows_of("category_performance", *rows))
    assert [name for name, _ in labels_of(figure)] == [f"c{n:02}" for n in range(19, 4, -1)]
    assert "15 of 20 categories" in title_of(figure)


def test_visitors_are_two_lines_over_the_days_in_order() -> None:
    figure = charts.user_activity(
        rows_of(
            "user_activity",
            {"event_date": date(2026, 1, 16), "unique_users": 41_000, "unique_sessions": 56_000},
            {"event_date": THURSDAY, "unique_users": 4_100, "unique_sessions": 5_200},
        )
    )
    assert [(line.name, list(line.y)) for line in figure.data] == [
        ("Sessions", [5_200, 56_000]),
        ("Users", [4_100, 41_000]),
    ]
    assert [note.text for note in figure.layout.annotations] == ["Sessions 56.0K", "Users 41.0K"]
    assert figure.layout.yaxis.range[0] == 0


def test_visitors_of_one_day_are_two_bars() -> None:
    row = {"unique_users": 4_100, "unique_sessions": 5_200}
    assert labels_of(charts.user_activity(rows_of("user_activity", row))) == [
        ("Sessions", "5,200"),
        ("Users", "4,100"),
    ]


# ---- every chart -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_an_empty_answer_says_so_in_words(name: str) -> None:
    figure = charts.CHARTS[name](rows_of(name))
    assert [note.text for note in figure.layout.annotations] == ["No events in this period."]
    assert not figure.data


@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_of_the_sample_is_drawn_with_its_days_in_utc(name: str, sample_lake: Path) -> None:
    figure = charts.CHARTS[name](open_lake(sample_lake / "eventmint.toml").answer(name))
    assert "2026 (UTC)" in title_of(figure)
    assert figure.data


@pytest.mark.parametrize("name", ANSWERS)
def test_no_chart_offers_to_send_its_rows_away(name: str, sample_lake: Path) -> None:
    figure = charts.CHARTS[name](open_lake(sample_lake / "eventmint.toml").answer(name))
    assert "sendChartToCloud" in figure.layout.modebar.remove
    assert charts.CONFIG["showSendToCloud"] is False


def steps(*counts: int, **group: str) -> list[Row]:
    """What `Lake.funnel` tells of a group, or of all."""
    names = ("page_view", "add_to_cart", "purchase")
    return [
        {**group, "step": n, "event_type": name, "journeys": count, "of_first": count / counts[0], "open": 0}
        for n, (name, count) in enumerate(zip(names, counts, strict=True), 1)
    ]


def test_journeys_are_bars_of_their_steps_and_tell_who_goes_on() -> None:
    figure = charts.journeys(pa.Table.from_pylist(steps(200, 50, 10)), "of a session")
    assert labels_of(figure) == [("page_view", "200"), ("add_to_cart", "50"), ("purchase", "10")]
    assert [note.text for note in figure.layout.annotations] == [
        "↓ 25.0% continue, 150 leave",
        "↓ 20.0% continue, 40 leave",
    ]
    assert "From page_view to purchase: 5.0%" in title_of(figure)
    assert "of a session" in title_of(figure)


def test_journeys_by_group_are_the_shares_that_come_to_the_end() -> None:
    hostile = "<img src=x>%{y}$a$"
    rows = [*steps(2000, 50, 1, category="Toys"), *steps(10, 5, 5, category=hostile)]
    figure = charts.journeys(pa.Table.from_pylist(rows), "")
    assert labels_of(figure) == [
        ("Toys", "<0.1% of 2.00K"),
        ("&lt;img src=x&gt;%{y}&#36;a&#36;", "50.0% of 10"),
    ]
    assert list(figure.data[0].x) == [0.05, 50.0]
    assert "by category" in title_of(figure)


def test_no_journeys_say_so() -> None:
    of_all = pa.Table.from_pylist([row | {"journeys": 0} for row in steps(1, 1, 1)])
    by_group = pa.Table.from_pylist(steps(1, 1, 1, product="p")).slice(0, 0)
    for rows in (of_all, by_group):
        figure = charts.journeys(rows, "")
        assert figure.layout.annotations[0].text == "No events in this period."


def test_retention_is_a_share_of_each_first_period_and_the_newest_is_so_far() -> None:
    def row(cohort: date, users: int, number: int, returned: int, *, is_over: bool) -> Row:
        period = cohort + timedelta(weeks=number)
        told = {"cohort": cohort, "users": users, "period": period, "number": number, "is_over": is_over}
        return {**told, "returned": returned, "share": returned / users}

    first, second = date(2026, 1, 12), date(2026, 1, 19)
    rows = [
        row(first, 2000, 0, 2000, is_over=True),
        row(first, 2000, 1, 1, is_over=False),
        row(second, 4, 0, 4, is_over=False),
    ]
    figure = charts.retention(pa.Table.from_pylist(rows), "week")
    cells = figure.data[0]
    assert [list(line) for line in cells.z] == [[1.0, 0.0005], [1.0, None]]
    assert [list(line) for line in cells.text] == [["100.0%", "<0.1%"], ["100.0%", ""]]
    assert list(figure.layout.yaxis.ticktext) == ["2026-01-12 · 2.00K users ", "2026-01-19 · 4 users "]
    assert cells.customdata[0][1] == (
        "1 of 2,000 users of the week from 2026-01-12 came in that from 2026-01-19, so far"
    )
    assert cells.customdata[1][1] == ""
    assert cells.zmax == 0.0005  # the first period is all of them, and no measure
    assert charts.retention(pa.Table.from_pylist(rows).slice(0, 0), "day").layout.annotations[0].text


def test_names_from_data_are_shown_as_text_and_never_merge() -> None:
    names = [
        "</script><img src=x onerror=alert(1)>",
        "<b>bold</b>",
        "%{y}$a$",
        "x" * 40 + "1",
        "x" * 40 + "2",
    ]
    figure = charts.category_performance(
        rows_of(
            "category_performance", *({"category": name, "events": 5 - n} for n, name in enumerate(names))
        )
    )
    shown = [name for name, _ in labels_of(figure)]
    assert shown[:3] == [
        "&lt;/script&gt;&lt;img src=x onerror…",
        "&lt;b&gt;bold&lt;/b&gt;",
        "%{y}&#36;a&#36;",
    ]
    assert shown[3] == shown[4] == "x" * 27 + "…"
    assert list(figure.data[0].y) == [0, 1, 2, 3, 4]
    assert figure.data[0].customdata[3].startswith("x" * 40 + "1: ")


def test_without_plotly_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(FixSettings) as caught:
        charts.user_activity(rows_of("user_activity", {}))
    assert str(caught.value) == (
        "plotly is not installed, and charts need it. Install it with `pip install 'eventmint[pages]'`."
    )
    # What a notebook shows in the place of a traceback.
    assert caught.value._render_traceback_() == [f"FixSettings: {caught.value}"]


@pytest.mark.parametrize(
    ("number", "count", "money"),
    [
        ("0", "0", "$0"),
        ("0.005", "0", "$0.01"),
        ("12.5", "13", "$12.50"),
        ("999.4", "999", "$999.40"),
        ("999.995", "1.00K", "$1.00K"),
        ("1000", "1.00K", "$1.00K"),
        ("9994", "9.99K", "$9.99K"),
        ("9995", "10.0K", "$10.0K"),
        ("46700", "46.7K", "$46.7K"),
        ("99950", "100K", "$100K"),
        ("999499", "999K", "$999K"),
        ("999500", "1.00M", "$1.00M"),
        ("1668803", "1.67M", "$1.67M"),
        ("-1668803", "−1.67M", "−$1.67M"),  # noqa: RUF001 - the true minus sign
        ("123456789012345", "123T", "$123T"),
        ("1" + 32 * "0", "100,000,000,000,000,000,000T", "$100,000,000,000,000,000,000T"),
    ],
)
def test_numbers_are_told_in_three_digits(number: str, count: str, money: str) -> None:
    assert short_count(Decimal(number)) == count
    assert short_money(Decimal(number)) == money
