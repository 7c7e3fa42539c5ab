"""Cost: what AWS would charge by its list prices. Pure functions, Decimal from end to end, dollars out.

Free tiers are left out: a figure here is what an account pays that has used them up.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

MB, TB = 10**6, 10**12  # Athena's page doesn't say which it means: the smaller units give the higher cost
GIB = 2**30  # what S3, Lambda and CloudWatch call a GB
ATHENA_MINIMUM_BYTES = 10 * MB
GLUE_MINIMUM_SECONDS = 60
# DPU of one worker, by worker type, for batch jobs. The driver is a worker too, and paid.
WORKER_DPU = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8, "G.12X": 12, "G.16X": 16}


@dataclass(frozen=True)
class Price:
    """One line of the price list.

    Attributes:
        dollars: for one unit.
        page: name of AWS's page that states it.
        seen: where the figure was seen on that day: `page`, `elsewhere` or `nowhere`.
    """

    name: str
    dollars: Decimal
    unit: str
    page: str
    looked_up: date
    seen: str


Prices = Mapping[str, Price]


@cache
def load_prices() -> Prices:
    """Return the price list of us-west-2 by name, from `prices.toml`."""
    text = files("eventmint.aws").joinpath("prices.toml").read_text(encoding="utf-8")
    return {
        name: Price(name, Decimal(body["price"]), body["unit"], body["page"], body["looked_up"], body["seen"])
        for name, body in tomllib.loads(text).items()
        if isinstance(body, dict)
    }


def athena_billed_bytes(bytes_scanned: int) -> int:
    """Return the bytes that one query is charged for: whole megabytes, at least ten."""
    return max(ATHENA_MINIMUM_BYTES, -(-bytes_scanned // MB) * MB)


def athena_cost(bytes_scanned: int) -> Decimal:
    """Return the dollars of one query that scans so many bytes."""
    return load_prices()["athena_tb"].dollars * athena_billed_bytes(bytes_scanned) / TB


def bytes_within(dollars: Decimal) -> int:
    """Return how many bytes one query may scan for so much."""
    return int(dollars / load_prices()["athena_tb"].dollars * TB) // MB * MB


def glue_cost(dpu_seconds: Decimal | float, *, is_flex: bool = False) -> Decimal:
    """Return the dollars of so many DPU-seconds, as billed: see `glue_dpu_seconds`."""
    price = load_prices()["glue_flex_dpu_hour" if is_flex else "glue_dpu_hour"]
    return price.dollars * _decimal(dpu_seconds) / 3600


def glue_dpu_seconds(seconds: Decimal | float, workers: int, worker_type: str = "G.1X") -> Decimal:
    """Return the DPU-seconds that a run is billed for: all its workers for its time, at least a minute."""
    return max(_decimal(seconds), Decimal(GLUE_MINIMUM_SECONDS)) * workers * WORKER_DPU[worker_type]


def storage_cost(size_bytes: Decimal | int) -> Decimal:
    """Return the dollars of keeping so many bytes in S3 Standard for a month."""
    return load_prices()["s3_storage"].dollars * size_bytes / GIB


def lambda_cost(calls: int, seconds: Decimal | float, memory_mb: int) -> Decimal:
    """Return the dollars of so many calls of a function on x86, each so long, with so much memory."""
    prices = load_prices()
    gb_seconds = calls * _decimal(seconds) * memory_mb / 1024
    return prices["lambda_request"].dollars * calls + prices["lambda_gb_second"].dollars * gb_seconds


def _decimal(value: Decimal | float) -> Decimal:
    # By its shortest text: 0.1 is a tenth, not the float next to it.
    return value if isinstance(value, Decimal) else Decimal(str(value))
