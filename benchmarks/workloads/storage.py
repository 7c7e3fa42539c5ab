"""4. Storage: bytes per million lines of each layer, against the raw JSON and its gzip."""

from __future__ import annotations

import zlib
from pathlib import Path

from benchmarks.candidates import US
from benchmarks.data import DataSet
from benchmarks.report import Section, counted
from benchmarks.sitting import Sitting
from eventmint.config import load_settings
from eventmint.lake import Lake

# What the specification expects: so many MB of bronze per million events, so much less than raw JSON.
SPECIFIED_BRONZE_MB, SPECIFIED_REDUCTION = 75, 0.87
PEER_LAYERS = ("bronze", "silver", "gold")


def run(sitting: Sitting) -> Section:
    data = sitting.clean
    section = Section(f"4. Storage: {counted(len(data.files), 'file')} of {sitting.sizes.events:,} lines")
    raw = raw_bytes(data)
    lake_bytes, other_bytes = our_bytes(sitting, data)
    layers: dict[str, int] = {}
    for table, size in lake_bytes.items():
        layer = table.partition(".")[0]
        layers[layer] = layers.get(layer, 0) + size
    rows = [
        per_million("raw JSON", raw, data, raw),
        per_million("gzip, as delivered", data.gz_bytes, data, raw),
    ]
    rows += [per_million(f"eventmint {layer}", size, data, raw) for layer, size in layers.items()]
    rows += [per_million(f"eventmint {name}", size, data, raw) for name, size in other_bytes.items()]
    rows += [per_million(name, size, data, raw) for name, size in peers_bytes(sitting, data).items()]
    section.table(["", "MB per M lines", "of raw", "of gzip", "reduction"], rows)
    bronze, less = layers["bronze"] / data.lines, 1 - layers["bronze"] / raw
    section.facts["storage.bronze_mb"] = bronze
    section.facts["storage.silver_mb"] = layers["silver"] / data.lines
    section.facts["storage.reduction"] = less * 100
    section.say(
        f"The specification expects at most {SPECIFIED_BRONZE_MB} MB of bronze per million events and "
        f"{SPECIFIED_REDUCTION:.0%} less than raw JSON: bronze takes {bronze:.1f} MB, "
        f"{less:.1%} less than raw."
    )
    section.say("The tables of eventmint, live files only, MB per million lines:")
    section.table(
        ["", "MB per M lines"], [[table, f"{size / data.lines:.3f}"] for table, size in lake_bytes.items()]
    )
    return section


def raw_bytes(data: DataSet) -> int:
    """Return the size of what the files hold, decompressed."""
    total = 0
    for file in data.files:
        inflater = zlib.decompressobj(wbits=31)
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                total += len(inflater.decompress(chunk))
    return total


def our_bytes(sitting: Sitting, data: DataSet) -> tuple[dict[str, int], dict[str, int]]:
    """Return the live bytes of each table, and what else lies there."""
    with sitting.fresh("storage") as home:
        lake = Lake(load_settings(home=home))
        lake.run(data.source)
        tables = {size.table: size.size_bytes for size in lake.sizes()}
        everything = sum(path.stat().st_size for path in (home / "lake").rglob("*") if path.is_file())
        return tables, {
            "metadata, catalog and old snapshots": everything - sum(tables.values()),
            "analytics.duckdb": lake.settings.database_path.stat().st_size,
        }


def peers_bytes(sitting: Sitting, data: DataSet) -> dict[str, int]:
    found: dict[str, int] = {}
    for candidate in sitting.candidates:
        if candidate.name == US:
            continue
        with sitting.fresh("storage") as out:
            sitting.tell(f"storage, {candidate.name}")
            if candidate.run(data.source, out).trouble:
                continue
            for layer in PEER_LAYERS:
                found[f"{candidate.name} {layer}"] = parquet_bytes(out / layer)
    return found


def parquet_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet") if path.is_file())


def per_million(name: str, size: int, data: DataSet, raw: int) -> list[str]:
    return [
        name,
        f"{size / data.lines:.2f}",
        f"{size / raw:.1%}",
        f"{size / data.gz_bytes:.1%}",
        f"{1 - size / raw:.1%}",
    ]
