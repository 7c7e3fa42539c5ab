"""The dashboard's first chart: from the start of the process until a browser that runs already shows it.

The browser is left alone while the page draws: a debugger in it, such as Playwright's, makes it read scripts
half as slow again. The page marks the moment, and is asked for it afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from benchmarks.candidates import EVENTMINT, OF_CLONE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_LEFT_ALONE = 5  # seconds, several times of what is measured
_MARK = "() => performance.timeOrigin + performance.getEntriesByName('first chart')[0].startTime"


def seconds_to_first_chart(home: Path, repeats: int) -> list[float]:
    """Return one figure a round; none where there is no Chromium."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    return [] if program is None else [_seconds(program, home) for _ in range(repeats)]


def _seconds(program: str, home: Path) -> float:
    from playwright.sync_api import sync_playwright

    with _browser(program) as browser:
        started = time.time()
        serving = subprocess.Popen(  # noqa: S603 - our own command
            [*EVENTMINT, "-C", str(home), "serve", "--port", "0", "--json"],
            env={**os.environ, **OF_CLONE},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            new_page = f"{browser}/json/new?{quote(_address(serving), safe='')}"
            _send(urllib.request.Request(new_page, method="PUT"))  # noqa: S310 - a browser of our own
            time.sleep(_LEFT_ALONE)
            with sync_playwright() as playwright:
                [page] = [
                    page
                    for context in playwright.chromium.connect_over_cdp(browser).contexts
                    for page in context.pages
                    if page.url.startswith("http")
                ]
                drawn = float(page.evaluate(_MARK)) / 1000
        finally:
            serving.terminate()
            serving.wait()
    return drawn - started


@contextmanager
def _browser(program: str) -> Iterator[str]:
    """The address of a browser that has started and knows nothing of the round before."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = ("--headless", "--no-sandbox", "--no-first-run", "--remote-debugging-port=0")
        running = subprocess.Popen(  # noqa: S603 - found on the path
            [program, *options, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield _when_ready(Path(folder, "DevToolsActivePort"))
        finally:
            running.terminate()
            running.wait()


def _when_ready(written: Path) -> str:
    for _ in range(100):
        if written.exists() and (port := written.read_text().partition("\n")[0]):
            address = f"http://127.0.0.1:{port}"
            while not any(target["type"] == "page" for target in json.loads(_send(f"{address}/json/list"))):
                time.sleep(0.1)
            time.sleep(2)  # what a browser does when it starts
            return address
        time.sleep(0.1)
    message = "the browser did not start"
    raise RuntimeError(message)


def _send(request: str | urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - a browser of our own
        return bytes(reply.read())


def _address(serving: subprocess.Popen[str]) -> str:
    text = ""
    for line in serving.stdout or ():
        text += line
        if line.startswith("}"):
            return str(json.loads(text)["url"])
    message = f"the dashboard did not start: {text}"
    raise RuntimeError(message)
