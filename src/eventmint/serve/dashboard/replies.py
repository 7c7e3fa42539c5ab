"""Replies: documents, tables and errors as HTTP has them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from eventmint.errors import EventmintError, FixSettings
from eventmint.serve.dashboard import static
from eventmint.serve.dashboard.openapi import FORMATS
from eventmint.serve.documents import result_document
from eventmint.serve.formats import csv_lines, json_text, jsonable
from eventmint.serve.pages import html
from eventmint.serve.streams import error_document


def document_reply(document: Mapping[str, Any]) -> Response:
    return Response(json_text(dict(document)), media_type=FORMATS["json"])


def compact(document: Any) -> bytes:
    """Return a document that only our own page reads."""
    return json.dumps(document, default=jsonable, separators=(",", ":")).encode()


def table_reply(rows: pa.Table, name: str, form: str, limit: int) -> Response:
    """Return rows as a file to save, or as JSON.

    Args: limit: rows at most; where there are more, JSON says so.
    """
    is_cut = bool(limit) and rows.num_rows > limit
    rows = rows.slice(0, limit or None)
    if form == "json":
        return document_reply(result_document(name, rows, is_cut))
    saved = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    if form == "csv":
        return StreamingResponse(csv_lines(rows), media_type=FORMATS["csv"], headers=saved)
    sink = io.BytesIO()
    parquet.write_table(rows, sink, compression="zstd")
    return Response(sink.getvalue(), media_type=FORMATS["parquet"], headers=saved)


def refusal(
    error: EventmintError,
    asked: Headers,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as the command line tells it with --json, or to a person as a page.

    Args: asked: the headers of the request: browsers ask for HTML.
    """
    code = status or (400 if isinstance(error, FixSettings) else 503)
    if "text/html" in asked.get("accept", ""):
        text = html.render_error(str(error), static.stylesheet("page.css"))
        return Response(text, status_code=code, media_type="text/html; charset=utf-8", headers=headers)
    body = json.dumps(error_document(error))
    return Response(body, status_code=code, media_type=FORMATS["json"], headers=headers)
