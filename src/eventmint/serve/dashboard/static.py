"""Static files: our own and Plotly's, under addresses that change with their content."""

from __future__ import annotations

import gzip
import hashlib
import ipaddress
from functools import cache
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from eventmint.serve.pages import html

_KINDS = {"page.css": "text/css", "page.js": "text/javascript", "plotly.min.js": "text/javascript"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


async def reply(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _KINDS:
        raise HTTPException(404)
    media_type = f"{_KINDS[name]}; charset=utf-8"
    if "gzip" in request.headers.get("accept-encoding", "") and not _is_near(request):
        headers = {**_FOR_EVER, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(_packed(name), media_type=media_type, headers=headers)
    return Response(_content(name), media_type=media_type, headers=_FOR_EVER)


def stylesheet(name: str) -> Any:
    """Return the element that brings a style sheet."""
    from markupsafe import Markup

    return Markup('<link rel="stylesheet" href="{}">').format(_address(name))


def scripts(*names: str) -> Any:
    """Return the elements that bring scripts, to be run in this order."""
    from markupsafe import Markup

    return Markup("").join(
        Markup('<script src="{}" defer></script>').format(_address(name)) for name in names
    )


@cache
def _address(name: str) -> str:
    return f"/static/{name}?v={hashlib.sha256(_content(name)).hexdigest()[:16]}"


@cache
def _content(name: str) -> bytes:
    if name == "plotly.min.js":
        return html.plotly().encode()
    return (html.own("page.js", "live.js") if name == "page.js" else html.own(name)).encode()


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_content(name), mtime=0)


def _is_near(request: Request) -> bool:
    """On this machine, packing takes longer than sending."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
