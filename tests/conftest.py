"""What many tests start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventmint.lake import Lake

REPOSITORY = Path(__file__).resolve().parent.parent
# The environment of a Spark that lives for some minutes.
SPARK_OF_A_RUN = {"SPARK_CONF_DIR": str(REPOSITORY / "tests" / "spark_conf")}

# Files that take a minute or more. A worker takes whole files: one that came last would leave others idle.
LONG_FILES = [
    REPOSITORY / "tests" / name
    for name in (
        "parity/test_parity.py",
        "aws/test_s3_lake.py",
        "test_documents.py",
        "docs/test_examples.py",
        "test_cli.py",
    )
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first."""
    places = {path: place for place, path in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def sample_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eventmint.toml, lake/ and analytics.duckdb, made from sample-data/. Only to be read."""
    from eventmint.lake import open_lake

    folder = tmp_path_factory.mktemp("sample-lake")
    config = folder / "eventmint.toml"
    config.write_text(
        f'[source]\npath = "{REPOSITORY / "sample-data"}"\n[run]\nworkers = 1\n', encoding="utf-8"
    )
    open_lake(config).run()
    return folder


@pytest.fixture(scope="session")
def months(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two months of a shop with hostile names. Only to be read."""
    from shops import two_months

    return two_months(tmp_path_factory.mktemp("months"))
