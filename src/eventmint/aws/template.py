"""The CloudFormation template: infrastructure.yaml with the lake, the Lambda's body and the questions put in.

`python -m eventmint.aws.template` writes capstone-starter.cfn.yaml and docs/aws-permissions.md; with
`--check` it fails when they are not what it would write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from eventmint.aws import lake_resources, permissions
from eventmint.aws.lambda_body import lambda_body
from eventmint.aws.names import ID_PATTERN

TEMPLATE = "capstone-starter.cfn.yaml"
PERMISSIONS = "docs/aws-permissions.md"
# What `--template-body file://` takes.
MOST_BYTES = 51_200
# By its name alone: an import statement would tie this layer to all that the package offers on top.
WHEEL = f"eventmint-{import_module('eventmint').__version__}-py3-none-any.whl"

# Measured by tests/aws/test_lambda_body.py, which fails when memory and time come near the function's limits.
GENERATOR_DESCRIPTION = (
    "One file of 500,000 to 750,000 events a call; the largest took 3 s of one core and 43 MB when measured."
)

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def render(queries_sql: str) -> str:
    """Return the template's text.

    Args:
        queries_sql: the text of queries.sql, whose statements become named queries.
    """
    parts: dict[str, Callable[[], str]] = {
        "catalog_arns": lake_resources.catalog_arns,
        "databases": lake_resources.databases,
        "generator_description": lambda: GENERATOR_DESCRIPTION,
        "id_pattern": lambda: ID_PATTERN,
        "lambda_body": lambda_body,
        "optimized_arns": lake_resources.optimized_arns,
        "optimizers": lake_resources.optimizers,
        "queries": lambda: lake_resources.queries(queries_sql),
        "tables": lake_resources.tables,
        "wheel": lambda: WHEEL,
    }
    source = files("eventmint.aws").joinpath("infrastructure.yaml").read_text(encoding="utf-8")
    lines = [line for line in source.splitlines(keepends=True) if not line.startswith("  #")]
    return "".join(_filled(line, parts) for line in lines)


def _filled(line: str, parts: dict[str, Callable[[], str]]) -> str:
    """A line with its places filled and half its indentation: 51,200 bytes are few.

    A part of several lines takes over the line's indentation; code keeps its own.
    """
    found = _PLACE.search(line)
    if found is None or found[0] != line.strip():
        return _halved(_PLACE.sub(lambda place: parts[place[1]](), line))
    indent = " " * (found.start() // 2)
    halve = (lambda text: text) if found[1] == "lambda_body" else _halved
    text = halve(parts[found[1]]().strip("\n") + "\n")
    return "".join(indent + row if row.strip() else row for row in text.splitlines(keepends=True))


def _halved(text: str) -> str:
    return re.sub(r"^ +", lambda spaces: " " * (len(spaces[0]) // 2), text, flags=re.MULTILINE)


def generated(root: Path) -> dict[str, str]:
    """Every file that is made here, by its path below the repository's root."""
    queries_sql = (root / "queries.sql").read_text(encoding="utf-8")
    return {TEMPLATE: render(queries_sql), PERMISSIONS: permissions.page()}


def main(argv: Sequence[str]) -> int:
    root = Path.cwd()
    stale = []
    for name, text in generated(root).items():
        path = root / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in argv:
        sys.stderr.write(f"stale: {', '.join(stale)}. Run `python -m eventmint.aws.template`.\n")
        return 1
    size = len((root / TEMPLATE).read_bytes())
    sys.stdout.write(f"{TEMPLATE}: {size:,} of at most {MOST_BYTES:,} bytes\n")
    return 0 if size <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
