"""OpenAPI: what the API answers, for programs and for those who write them. Made from the questions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from importlib import metadata
from typing import Any

from eventmint.contracts import Column
from eventmint.serve.dashboard.questions import Parameter, Question

Document = dict[str, Any]
FORMATS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "parquet": "application/vnd.apache.parquet",
}
_ERROR = {
    "type": "object",
    "required": ["schema_version", "error"],
    "properties": {
        "schema_version": {"type": "integer"},
        "error": {
            "type": "object",
            "required": ["kind", "message", "hint"],
            "properties": {name: {"type": "string"} for name in ("kind", "message", "hint")},
        },
    },
}
_TYPES: dict[str, Document] = {
    "int": {"type": "integer"},
    "long": {"type": "integer"},
    "double": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamptz": {"type": "string", "format": "date-time"},
}
_TEXT = {"type": "string"}


def openapi(title: str, questions: Iterable[Question]) -> Document:
    """Return an OpenAPI 3.1 document of the questions."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": metadata.version("eventmint"),
            "description": (
                "Read-only. Days are UTC and half-open: `from` is in, `to` is not. "
                "Amounts are decimal numbers as text, exact to the last digit."
            ),
        },
        "paths": {question.path: {"get": _operation(question)} for question in questions},
        "components": {"schemas": {"Error": _ERROR}},
    }


def schema_of(columns: Sequence[Column], optional: Collection[str] = ()) -> Document:
    """Return a row of a table as OpenAPI has it; decimals are text.

    Args: optional: columns that some questions leave out.
    """
    properties = {}
    for column in columns:
        doc = f"{column.doc} ({column.unit})" if column.unit else column.doc
        kind = _TYPES.get(column.type, _TEXT)
        nullable = kind if column.required else {**kind, "type": [kind["type"], "null"]}
        properties[column.name] = {**nullable, "description": doc}
    required = [column.name for column in columns if column.name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _operation(question: Question) -> Document:
    return {
        "summary": question.summary,
        "operationId": question.path.strip("/").replace("/", "_").replace("-", "_"),
        "parameters": [_parameter(parameter) for parameter in question.parameters],
        "responses": {
            "200": {"description": "The answer.", "content": _content(question)},
            "400": _error("What is asked for is none, or takes too much: the hint says what to do."),
            "503": _error("Nothing has been published, it cannot be read now, or others ask too much."),
        },
    }


def _parameter(parameter: Parameter) -> Document:
    default = {} if parameter.default is None else {"default": _typed(parameter)}
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.doc,
        "schema": {**parameter.schema, **default},
    }


def _typed(parameter: Parameter) -> Any:
    """The default as its schema has it."""
    return int(parameter.default or 0) if parameter.schema["type"] == "integer" else parameter.default


def _content(question: Question) -> Document:
    if not question.is_table:
        return {FORMATS["json"]: {"schema": question.shape}}
    document = {
        "type": "object",
        "required": ["schema_version", "title", "columns", "rows", "truncated"],
        "properties": {
            "schema_version": {"type": "integer"},
            "title": _TEXT,
            "columns": {"type": "array", "items": {"type": "object"}},
            "rows": {"type": "array", "items": question.columns},
            "truncated": {"type": "boolean", "description": "There are more rows than `limit`."},
        },
    }
    return {
        FORMATS["json"]: {"schema": document},
        FORMATS["csv"]: {"schema": _TEXT},
        FORMATS["parquet"]: {"schema": {"type": "string", "contentEncoding": "binary"}},
    }


def _error(description: str) -> Document:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {FORMATS["json"]: {"schema": schema}}}
