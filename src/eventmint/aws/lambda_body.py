"""The event generator's Lambda body: the sample generator's own code, cut to one file a call, and a handler.

Nothing is written twice: the definitions are taken from `eventmint/sources/sample.py`, less what a template
of 51,200 bytes has no room for: docstrings, comments, annotations and the check of the settings. A file made
by the Lambda is the file that `generate_sample_data.py` makes for the same five minutes with
`--events-per-file 625000 --size-spread 0.2`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from importlib.resources import files

# What the handler below uses of the generator; what these use in turn is found by reading them.
ROOTS = ("ECHO_FILES", "FILE_PATH", "SampleSettings", "WINDOW", "WINDOW_SECONDS", "write_lines")
# The handler's settings are right by construction, and it writes no folder: what is for that stays behind.
LEFT_OUT = ("__post_init__", "as_json", "output_dir", "truth")

HEAD = "# Made from eventmint's sources/sample.py: change that.\n"

# A file repeats lines of the three before it, as a local one does: so the settings start three windows ago.
HANDLER = """\
def handler(event, context):
    # The file of the five minutes the event was due in: the same event again writes the same bytes.
    due = datetime.fromisoformat(event["time"]) if event.get("time") else datetime.now(UTC)
    window = datetime.fromtimestamp(due.timestamp() // WINDOW_SECONDS * WINDOW_SECONDS, UTC)
    lines = int(os.environ["LINES"])
    settings = SampleSettings(
        events_per_file=lines, size_spread=0.2, start=window - ECHO_FILES * WINDOW,
        products=200 + lines // 125, users=50 + 2 * lines)
    key = window.strftime(FILE_PATH)
    with tempfile.TemporaryFile() as file:
        write_lines(settings, ECHO_FILES, file)
        size = file.tell()
        file.seek(0)
        boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=key, Body=file)
    written = {"key": key, "bytes": size, "lines": settings.line_count(window)}
    print(json.dumps(written))
    return written
"""
HANDLER_IMPORTS = ("boto3", "json", "os", "tempfile")


def lambda_body() -> str:
    """Return the source of the Lambda's one file, index.py."""
    return body_of(files("eventmint").joinpath("sources", "sample.py").read_text(encoding="utf-8"))


def body_of(source: str) -> str:
    """Return a generator's source cut to what the handler needs, with the handler."""
    tree = ast.parse(source)
    definitions = {name: node for node in tree.body for name in _names_defined(node)}
    kept: set[str] = set()
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in kept:
            kept.add(name)
            waiting += _names_used(definitions[name])
    nodes = list(dict.fromkeys(node for name, node in definitions.items() if name in kept))
    used = set().union(*map(_names_used, [*nodes, ast.parse(HANDLER)]))
    lines = _shortened(source, tree)
    code = [line for node in nodes for line in lines[_first_line(node) - 1 : node.end_lineno]]
    return HEAD + _narrow([*_imports(tree, used), *code, *HANDLER.splitlines()])


def _names_defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _names_used(node: ast.AST) -> set[str]:
    """Names from outside that must exist when the code runs; annotations are never evaluated there."""
    names = [inner for inner in _evaluated(node) if isinstance(inner, ast.Name)]
    local = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return {name.id for name in names if isinstance(name.ctx, ast.Load)} - local


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _is_left_out(child):
                    yield from _evaluated(child)


def _is_left_out(node: ast.AST) -> bool:
    target = node.target if isinstance(node, ast.AnnAssign) else None
    name = target.id if isinstance(target, ast.Name) else getattr(node, "name", None)
    return name in LEFT_OUT


def _imports(tree: ast.Module, used: set[str]) -> Iterator[str]:
    """The imports of the module that the kept code uses, with the handler's."""
    yield "from __future__ import annotations"
    plain = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    yield f"import {', '.join(sorted(plain & used | set(HANDLER_IMPORTS)))}"
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            names = sorted(alias.name for alias in node.names if alias.name in used)
            if names:
                yield f"from {node.module} import {', '.join(names)}"


def _shortened(source: str, tree: ast.Module) -> list[str]:
    """The lines of the source without comments, docstrings, annotations and what is left out.

    Cut out of the text, not written anew from the tree: each version of Python would write that differently.
    """
    lines = source.splitlines()
    cuts = [*_comments(source), *(cut for node in ast.walk(tree) for cut in _spare(node, lines))]
    for line, start, end in sorted(cuts, reverse=True):
        lines[line - 1] = (lines[line - 1][:start] + lines[line - 1][end:]).rstrip()
    return lines


Cut = tuple[int, int, int]  # line, counted from 1, and its columns from, to


def _comments(source: str) -> Iterator[Cut]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.start[1], token.end[1]


def _spare(node: ast.AST, lines: list[str]) -> Iterator[Cut]:
    """What of a node only a reader or a type checker needs."""
    spare: ast.stmt | None = None
    if isinstance(node, ast.FunctionDef | ast.AnnAssign) and _is_left_out(node):
        spare = node
    elif isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        spare = node.body[0]
    if spare is not None:
        yield from ((line, 0, len(lines[line - 1])) for line in range(spare.lineno, _end(spare) + 1))
    if spare is node:
        return
    if isinstance(node, ast.FunctionDef) and node.returns is not None:
        arrow = lines[node.returns.lineno - 1].rindex(" ->", 0, node.returns.col_offset)
        yield node.returns.lineno, arrow, node.returns.end_col_offset or 0
    if isinstance(node, ast.arg) and node.annotation is not None:
        yield node.lineno, node.col_offset + len(node.arg), node.annotation.end_col_offset or 0
    # A class keeps the annotations of its fields, which make them fields; a name alone is all it has.
    if isinstance(node, ast.FunctionDef | ast.Module):
        for inner in ast.walk(node) if isinstance(node, ast.FunctionDef) else node.body:
            if isinstance(inner, ast.AnnAssign):
                yield inner.lineno, inner.target.end_col_offset or 0, inner.annotation.end_col_offset or 0


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _first_line(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _narrow(lines: list[str]) -> str:
    """Indented by one column where it was four, and without empty lines."""
    narrow = (re.sub(r"^ +", lambda found: " " * (len(found[0]) // 4), line) for line in lines)
    return "\n".join(line for line in narrow if line.strip()) + "\n"
