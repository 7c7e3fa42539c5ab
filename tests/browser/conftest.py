"""A real browser on pages that eventmint wrote or serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
Opened = Callable[..., "Page"]


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium: install it (Debian: apt install chromium) to test the pages")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Tests may run as root in a container, where Chromium's own sandbox cannot.
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Opens a page and waits until it is drawn. Fails at the end if one complained, or asked elsewhere."""
    contexts = []
    wrong: list[str] = []

    def open_page(place: Path | str, hash_: str = "", **options: Any) -> Page:
        address = place if isinstance(place, str) else place.as_uri()
        ours = ("file", "data", "blob") if isinstance(place, Path) else ("data", "blob")

        def is_ours(url: str) -> bool:
            wanted, own = urlsplit(url), urlsplit(address)
            return wanted.scheme in ours or (wanted.scheme, wanted.netloc) == (own.scheme, own.netloc)

        context = browser.new_context(**options)
        contexts.append(context)
        # Asking is enough to be found out: nothing is there to answer.
        context.route(
            "**/*", lambda route: route.continue_() if is_ours(route.request.url) else route.abort()
        )
        page = context.new_page()
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective))"
        )
        page.on(
            "console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: None if is_ours(asked.url) else wrong.append(asked.url))
        page.goto(f"{address}{hash_}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def tiles(page: Page) -> dict[str, str]:
    """What the tiles tell, once they are drawn."""
    page.locator("[aria-busy]").wait_for(state="detached")
    labels = page.locator(".tile h2").all_inner_texts()
    return dict(zip(labels, page.locator(".tile .value").all_inner_texts(), strict=True))


def serious_findings(page: Page) -> list[tuple[str, list[Any]]]:
    """What axe calls serious or critical: the rule, and the places that break it."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
