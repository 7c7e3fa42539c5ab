"""The dashboard's first chart: from the start of the process until a browser that runs already shows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.candidates import EVENTMINT, OF_CLONE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def seconds_to_first_chart(home: Path, repeats: int) -> list[float]:
    """Return one figure a round; none where there is no Chromium."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        return []
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(repeats):
            context = browser.new_context()  # nothing is kept from the round before
            page = context.new_page()
            started = time.perf_counter()
            serving = subprocess.Popen(  # noqa: S603 - our own command
                [*EVENTMINT, "-C", str(home), "serve", "--port", "0", "--json"],
                env={**os.environ, **OF_CLONE},
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                page.goto(_address(serving))
                page.locator("#cards .main-svg").first.wait_for()
                found.append(time.perf_counter() - started)
            finally:
                serving.terminate()
                serving.wait()
                context.close()
        browser.close()
    return found


def _address(serving: subprocess.Popen[str]) -> str:
    text = ""
    for line in serving.stdout or ():
        text += line
        if line.startswith("}"):
            return str(json.loads(text)["url"])
    message = f"the dashboard did not start: {text}"
    raise RuntimeError(message)
