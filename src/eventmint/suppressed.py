"""The list of who was forgotten: an Iceberg table of its own, and the key, which is no part of the lake.

No stage writes the list and no rollback takes it back. A lake that has one does nothing without its key: it
would take people in again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from eventmint.config import Settings
from eventmint.contracts import SUPPRESSED, contract
from eventmint.engine.parquet import arrow_schema, read_rows, write_table
from eventmint.errors import FixSettings
from eventmint.storage import is_s3
from eventmint.storage.local import write_secret
from eventmint.suppression import KEY_BYTES, Suppression
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp, commit, note
from eventmint.tables.plan import TableHandle, live_files, seq_of

# Properties of the list: what tells its key from another, and its state when all that was there before was
# last removed.
KEY_MARK, PURGED = "eventmint.key-mark", "eventmint.purged"


def suppression_of(catalog: LakeCatalog, settings: Settings) -> Suppression | None:
    """Return who was forgotten; None where nobody was.

    Raises: FixSettings: the key is missing, or it is another one.
    """
    table = catalog.find(contract(SUPPRESSED))
    if table is None or table.current_snapshot() is None:
        return None
    key = _read_key(settings)
    if key is None:
        raise FixSettings(
            f"{settings.key_location}: the key to the list of forgotten people is missing.",
            "Restore it, or set EVENTMINT_PRIVACY__KEY: without it they would be taken in again.",
        )
    suppression = Suppression(key)
    if table.properties.get(KEY_MARK) != suppression.key_mark:
        raise FixSettings(
            f"{settings.key_location}: this is not the key that people were forgotten with.",
            "Restore that one: with another they would be taken in again.",
        )
    rows = read_rows(file.location for file in live_files(table, contract(SUPPRESSED)))
    return suppression.with_hashes(row["user_hash"] for row in rows)


def suppression_to_extend(
    catalog: LakeCatalog, settings: Settings, *, may_make_key: bool = True
) -> Suppression:
    """Return who was forgotten, or nobody, under a key that is made where there is none.

    Args: may_make_key: where False, a key that is not kept does for looking only.
    Raises: FixSettings: as `suppression_of`, or the key cannot be written.
    """
    known = suppression_of(catalog, settings)
    if known is not None:
        return known
    key = _read_key(settings)
    if key is None:
        key = secrets.token_bytes(KEY_BYTES)
        if may_make_key:
            _write_key(settings, key)
    return Suppression(key)


def key_of(settings: Settings) -> Suppression:
    """Return nobody, under the key. Raises: FixSettings: there is none."""
    key = _read_key(settings)
    if key is None:
        raise FixSettings(f"{settings.key_location}: there is no key.", "Set privacy.key_file to its place.")
    return Suppression(key)


def suppress(
    catalog: LakeCatalog,
    suppression: Suppression,
    hashes: Collection[str],
    stamp: Stamp,
    now: datetime,
    scratch: Path,
) -> None:
    """Add people to the list, in one commit that is the intent of all that follows."""
    shape = contract(SUPPRESSED)
    table = catalog.create(shape)
    rows = [{"user_hash": one, "suppressed_at": now, "seq": stamp.seq} for one in sorted(hashes)]
    made = pa.Table.from_pylist(rows, schema=arrow_schema(shape))
    path = scratch / f"{stamp.seq:08d}-{stamp.batch[:12]}.parquet"
    properties = {KEY_MARK: suppression.key_mark}
    commit(
        table,
        shape,
        Stamp(stamp.seq, stamp.batch, properties=properties),
        add=[write_table(made, shape, path)] if rows else [],
    )


def forgotten_seq(catalog: LakeCatalog) -> int:
    """Return the number of the last batch that took people out; 0 for none."""
    table = catalog.find(contract(SUPPRESSED))
    return seq_of(table) if table is not None else 0


def list_to_purge(catalog: LakeCatalog) -> TableHandle | None:
    """Return the list where people came onto it since all that was there before was last removed."""
    table = catalog.find(contract(SUPPRESSED))
    if table is None or table.current_snapshot() is None or table.properties.get(PURGED) == _state(table):
        return None
    return table


def note_purged(table: TableHandle) -> None:
    note(table, {PURGED: _state(table)})


def _state(table: TableHandle) -> str:
    return str(table.metadata.current_snapshot_id)


def _read_key(settings: Settings) -> bytes | None:
    text: str | None = settings.privacy.key
    place = settings.key_location
    if not text and is_s3(place):
        from eventmint.storage import s3

        text = s3.read_text(place)
    elif not text:
        try:
            text = Path(place).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as err:
            raise FixSettings(f"{place}: the key cannot be read.", "Mend it or restore it.") from err
    if text is None:
        return None
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise FixSettings(f"{place}: is no key: 64 hexadecimal digits are expected.", "Restore it.")
    return key


def _write_key(settings: Settings, key: bytes) -> None:
    place = settings.key_location
    if _normal(place).startswith(f"{_normal(settings.lake_location)}/"):
        raise FixSettings(
            f"{place}: in the lake, the key would tell its readers who was forgotten.",
            "Set privacy.key_file to another place.",
        )
    if is_s3(place):
        from eventmint.storage import s3

        s3.write_text(place, f"{key.hex()}\n")
        return
    try:
        write_secret(Path(place), f"{key.hex()}\n")
    except OSError as err:
        raise FixSettings(
            f"{place}: the key cannot be written: {os.strerror(err.errno or 0)}.",
            "Set privacy.key_file to another place.",
        ) from err


def _normal(place: str) -> str:
    return place.rstrip("/") if is_s3(place) else str(Path(place).resolve())
