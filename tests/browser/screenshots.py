"""Pictures of every state of report and dashboard, to be looked at: `make screenshots`.

The shop is made up by the sample generator: 40 days, a few hundred products.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from browser.conftest import chromium
from playwright.sync_api import sync_playwright
from served import served
from shops import lake_in, write_events

from eventmint.lake import Lake
from eventmint.serve import analytics_db, answers
from eventmint.serve.pages.trust import as_facts, published_trust
from eventmint.sources.sample import SampleSettings, generate

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A page that has drawn its figures, or said why there are none and asks again.
STANDS = "html[data-ready], #error:not([hidden])"
DAYS, FILES_A_DAY, EVENTS_A_FILE = 40, 4, 700
WIDE, PHONE = {"width": 1320, "height": 900}, {"width": 390, "height": 844}


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build/screenshots")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name, place, options in states(Path(folder)):
            picture = target / f"{name}.png"
            shoot(running, place, picture, options)
            sys.stdout.write(f"{picture}\n")
        running.close()


def states(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield names, addresses and how the browser is set up; an address is good until the next one."""
    lake = a_shop(folder / "shop")
    report = lake.report(folder / "report.html", now=datetime(2026, 2, 23, 9, tzinfo=UTC)).as_uri()
    yield "report", report, {}
    yield "report-dark", report, {"color_scheme": "dark"}
    yield "report-phone", report, {"viewport": PHONE}
    yield "report-category", f"{report}#period=7&category=Toys", {}
    with served(lake) as address:
        yield "dashboard", address, {}
        yield "dashboard-dark", address, {"color_scheme": "dark"}
        yield "dashboard-phone", address, {"viewport": PHONE}
        yield "dashboard-one-day", f"{address}/#from=2026-02-20&to=2026-02-21", {}
        yield "dashboard-no-events", f"{address}/#from=2026-02-20&to=2026-02-21&category=Nothing", {}
        yield "dashboard-no-days", f"{address}/#from=2030-01-01&to=2030-02-01", {}
        yield "journeys", f"{address}/#tab=funnel", {}
        yield "journeys-by-category", f"{address}/#tab=funnel&by=category&window=2h", {}
        yield "retention", f"{address}/#tab=retention", {}
        yield "retention-days-dark", f"{address}/#tab=retention&length=day", {"color_scheme": "dark"}
        yield "journeys-phone", f"{address}/#tab=funnel", {"viewport": PHONE}
        break_a_law(lake)
        yield "dashboard-law-broken", address, {}
        lake.settings.database_path.unlink()
        yield "dashboard-error", address, {}
    (folder / "empty").mkdir()
    write_events(folder / "empty" / "data", [])
    empty = lake_in(folder / "empty")
    empty.run()
    with served(empty) as address:
        yield "dashboard-empty", address, {}


def a_shop(folder: Path) -> Lake:
    """A shop of some weeks, whose newest event is an hour old on the last of them."""
    data = folder / "data"
    start = datetime(2026, 1, 15, tzinfo=UTC)
    for day in range(DAYS):
        generate(
            SampleSettings(
                output_dir=data / f"{day:02d}",
                num_files=FILES_A_DAY,
                events_per_file=EVENTS_A_FILE + 12 * day,
                start=start + timedelta(days=day, hours=18),
                bad_rate=0.001,
                seed=day // 4,
                products=300,
                workers=1,
            )
        )
    lake = lake_in(folder)
    lake.run()
    return lake


def break_a_law(lake: Lake) -> None:
    """Tell of a state whose last run broke a law."""
    database = lake.settings.database_path
    with answers.asking(database) as ask:
        found = published_trust(ask)
    analytics_db.tell(database, as_facts({**found, "accounted": False, "missing": 3}))


@contextmanager
def _page(browser: Browser, options: dict[str, Any]) -> Iterator[Any]:
    context = browser.new_context(**{"viewport": WIDE, **options})
    yield context.new_page()
    context.close()


def shoot(browser: Browser, place: str, picture: Path, options: dict[str, Any]) -> None:
    with _page(browser, options) as page:
        page.goto(place)
        if page.locator("html[data-theme]").count():
            page.wait_for_selector(STANDS)
            page.locator("[aria-busy]").wait_for(state="detached")
            page.wait_for_timeout(300)
        page.screenshot(path=str(picture), full_page=True)


if __name__ == "__main__":
    main()
