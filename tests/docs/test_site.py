"""What the site makes of the links of documents, and what it must not load. `make docs` builds it."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from blocks import REPOSITORY

MKDOCS = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = spec_from_file_location("hooks", REPOSITORY / "docs/hooks.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "link", "on_the_site"),
    [
        ("index.md", "[a](aws.md)", "[a](aws.md)"),
        ("index.md", "[a](../README.md#try-it)", "[a](project/readme.md#try-it)"),
        ("reference/api.md", "[a](../journeys.md)", "[a](../journeys.md)"),
        ("adr/0012-report.md", "[a](../../CHANGELOG.md)", "[a](../project/changelog.md)"),
        ("project/readme.md", "[docs](docs/aws.md) [c](CHANGELOG.md)", "[docs](../aws.md) [c](changelog.md)"),
        ("project/readme.md", "[docs/adr/](docs/adr)", "[docs/adr/](../adr/index.md)"),
        ("project/pipeline.md", "![a](docs/diagrams/aws.svg)", "![a](../diagrams/aws.svg)"),
        ("project/sample-data.md", "[a](../README.md)", "[a](readme.md)"),
        ("cost.md", "[prices](../src/eventmint/aws/prices.toml)", "`prices`"),
        ("guarantees.md", "[`test`](../tests/proofs/test_limits.py)", "`test`"),
        ("guarantees.md", "[a](#part) [b](https://x.org/y.md) `[c](../README.md)`", None),
        ("guarantees.md", "```sh\n[c](../README.md)\n```\n", None),
        ("guarantees.md", "[a](gone.md)", None),  # the strict build names it
    ],
)
def test_a_link_leads_to_where_its_file_is_on_the_site(
    page: str, link: str, on_the_site: str | None, hooks: ModuleType
) -> None:
    assert hooks.relinked(link, page) == (on_the_site or link)


def test_whatever_a_browser_would_load_from_elsewhere_is_found(tmp_path: Path, hooks: ModuleType) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://a.org">a</a><link href="https://b.org/" rel="canonical">'
        '<script async src="https://c.org/c.js"></script><link rel=preconnect href=//d.org>'
        "<img alt=e src='http://e.org/e.png'><img src=here.png>"
    )
    (tmp_path / "b.css").write_text("@import 'https://f.org/f.css'; a {x: url(//g.org/g)} b {x: url(h)}")
    assert list(hooks.loaded_from_elsewhere(tmp_path)) == [
        ("a.html", "https://c.org/c.js"),
        ("a.html", "http://e.org/e.png"),
        ("a.html", "//d.org"),
        ("b.css", "https://f.org/f.css"),
        ("b.css", "//g.org/g"),
    ]


def test_every_page_has_its_line_in_the_navigation(hooks: ModuleType) -> None:
    """As `make docs` finds too, which needs an environment of its own."""
    pages = {file.relative_to(REPOSITORY / "docs").as_posix() for file in (REPOSITORY / "docs").rglob("*.md")}
    beside = {page for place, page in hooks.BESIDE.items() if (REPOSITORY / place).exists()}
    decisions = {page for page in pages if page.startswith("adr/0")}
    named = re.findall(
        r"[\w/-]+\.md$", MKDOCS.partition("\nnav:")[2].partition("\nnot_in_nav")[0], re.MULTILINE
    )
    assert sorted(named) == sorted((pages | beside) - decisions - {"project/benchmarks.md"})
