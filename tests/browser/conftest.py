"""A real browser on pages that eventmint wrote."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
Opened = Callable[..., "Page"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
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
    """Opens a page and waits until it is drawn. Fails at the end if it complained or asked for anything."""
    contexts = []
    wrong: list[str] = []

    def open_page(file: Path, hash_: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        # Asking is enough to be found out: nothing is there to answer.
        context.route(
            "**/*",
            lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort(),
        )
        page = context.new_page()
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective))"
        )
        page.on(
            "console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                wrong.append(asked.url)
                if asked.url.partition(":")[0] not in ("file", "data", "blob")
                else None
            ),
        )
        page.goto(f"{file.as_uri()}{hash_}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
