"""First steps: the files that `init` and `demo` write, and what to do next. Never overwrites anything."""

from __future__ import annotations

import json
from pathlib import Path

from eventmint.config import CONFIG_FILE, default_toml
from eventmint.errors import FixSettings

_DEMO_TOML = """\
# Written by `eventmint demo`. To start anew, delete this folder.
[source]
path = {path}
[report]
late_minutes = 0  # the sample's events are of another year
"""


def write_settings(folder: Path) -> tuple[Path, bool]:
    """Write a configuration with every default, and the data folder; return it and whether it is new."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    return _write_new(folder / CONFIG_FILE, default_toml())


def open_demo(folder: Path, data_of_clone: Path) -> Path:
    """Return the demo's own configuration, written where there is none.

    Raises: FixSettings: the folder is somebody's.
    """
    config = folder / CONFIG_FILE
    if not config.exists() and folder.exists() and any(folder.iterdir()):
        raise FixSettings(
            f"{folder.absolute()}: holds something else.", "Start elsewhere: `eventmint -C DIR demo`."
        )
    folder.mkdir(exist_ok=True)
    is_clone = (data_of_clone / "events").is_dir()
    _write_new(config, _DEMO_TOML.format(path=json.dumps(f"../{data_of_clone}" if is_clone else "data")))
    return config


def after_demo(folder: Path, report: Path | None) -> str:
    """Return what to do next.

    Args: report: the page that was written; None where what draws pages is not installed.
    """
    is_clone = Path("queries.sql").exists() and Path(".venv/bin/eventmint").exists()
    program = ".venv/bin/eventmint" if is_clone else "eventmint"
    query = "-f ../queries.sql" if is_clone else '"SELECT * FROM top_products"'
    look = f"{report}   (open it in a browser)" if report else "pip install 'eventmint[pages]' for pictures"
    return f"""
report    {look}
next      {program} -C {folder} status
          {program} -C {folder} query {query}
          {program} -C {folder} quarantine --reason json_invalid
          {program} init my-shop    for your own events"""


def _write_new(file: Path, text: str) -> tuple[Path, bool]:
    try:
        with file.open("x", encoding="utf-8") as sink:
            sink.write(text)
    except FileExistsError:
        return file, False
    return file, True
