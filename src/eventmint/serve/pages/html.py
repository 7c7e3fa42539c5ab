"""HTML: the one template of all pages, and what goes into it: our own files, Plotly, packed documents."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import cache
from importlib import metadata, resources
from typing import Any

from eventmint.errors import FixSettings
from eventmint.serve import theme
from eventmint.serve.formats import jsonable

STYLES = "style-src 'self' 'unsafe-inline'"  # Plotly writes rules of its own; no script can come with them


def render(**values: Any) -> str:
    """Return a page. Every value is escaped, but for `Markup`."""
    made: str = _template("page.html.j2").render(version=metadata.version("eventmint"), **values)
    return made


def render_error(text: str, styles: Any) -> str:
    """Return a page that says only what is wrong and what to do."""
    made: str = _template("error.html.j2").render(text=text, styles=styles)
    return made


def packed(document: Any) -> str:
    """Return a document as gzipped JSON in Base64: small, and nothing in it can end the element around it."""
    return packed_text(json.dumps(document, default=jsonable, separators=(",", ":")))


def packed_text(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def hash_of(script: str) -> str:
    """Return what a Content-Security-Policy names a script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def own(*names: str) -> str:
    """Return files of this folder, one after the other."""
    folder = resources.files(__package__)
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def plotly() -> str:
    """Return the script of Plotly. Raises: FixSettings: it is not installed."""
    theme.require_plotly()
    return resources.files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")


@cache
def _template(name: str) -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError as err:
        raise FixSettings(
            "jinja2 is not installed, and pages need it.", "Install it with `pip install 'eventmint[pages]'`."
        ) from err
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(own(name))
