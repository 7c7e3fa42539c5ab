"""The page of guarantees names proofs that exist, and its figures are those of proofs it names."""

from __future__ import annotations

import re
from typing import Any

import pytest
from proofs.page import BEGIN, END, PAGE, REPOSITORY, with_figures

LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
FAMILY = re.compile(r"tests/proofs/test_(\w+)\.py")
RESULT: dict[str, Any] = {
    "machine": "2 cores, Linux, Python 3.11.7",
    "versions": {"duckdb": "2.0.0"},
    "families": {
        "limits": {
            "form": "long",
            "tried": {"files over a limit": 1200, "runs with a|b": 3},
            "seconds": 1090,
            "failed": 0,
            "seed": 7,
            "date": "2026-01-15",
            "commit": "abc1234",
        }
    },
}


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_file_that_the_page_names_exists(page: str) -> None:
    named = {link for link in LINK.findall(page) if "://" not in link}
    assert named
    assert {link for link in named if not (PAGE.parent / link).exists()} == set()


def test_every_proof_is_named_by_a_guarantee(page: str) -> None:
    guarantees = page.partition(BEGIN)[0]
    proofs = {path.stem.removeprefix("test_") for path in (REPOSITORY / "tests/proofs").glob("test_*.py")}
    assert proofs <= set(FAMILY.findall(guarantees))


def test_every_family_of_the_figures_is_named_by_a_guarantee(page: str) -> None:
    guarantees, _, figures = page.partition(BEGIN)
    assert set(FAMILY.findall(figures)) <= set(FAMILY.findall(guarantees))


def test_the_figures_replace_those_of_the_run_before(page: str) -> None:
    once = with_figures(page, RESULT)
    run = "long, 2026-01-15, seed 7, abc1234, 1,090 s"
    assert f"| [limits](../tests/proofs/test_limits.py) | {run} | 1,200 | files over a limit |" in once
    assert "|  |  | 3 | runs with a&#124;b |" in once
    assert "2 cores, Linux, Python 3.11.7; duckdb 2.0.0" in once
    assert with_figures(once, RESULT) == once
    assert once.partition(BEGIN)[0] == page.partition(BEGIN)[0]
    assert once.partition(END)[2] == page.partition(END)[2]


def test_a_family_that_did_not_run_keeps_its_figures(page: str) -> None:
    kept = with_figures(page, RESULT | {"families": {}})
    assert kept.partition(BEGIN)[2].count("\n|") == page.partition(BEGIN)[2].count("\n|") > 50
    other = RESULT["families"]["limits"]
    both = with_figures(with_figures(page, RESULT), RESULT | {"families": {"another": other}})
    assert both.count("files over a limit") == 2


def test_the_short_form_takes_the_place_of_the_short_one_only(page: str) -> None:
    body = RESULT["families"]["limits"]
    long = with_figures(page, RESULT)
    assert with_figures(long, RESULT | {"families": {"limits": body | {"form": "short"}}}) == long
    short = with_figures(page, RESULT | {"families": {"new": body | {"form": "short"}}})
    later = with_figures(short, RESULT | {"families": {"new": body | {"form": "short", "seed": 8}}})
    assert "short, 2026-01-15, seed 8" in later
    assert "short, 2026-01-15, seed 7" not in later


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        with_figures("no markers", RESULT)
