"""S3: objects in parallel, with checksums and retries that wait at random, and a lease for one writer.

The client does the retrying (`session.client`, mode standard); uploads carry a checksum that S3 verifies,
downloads are verified against it and against the size that was listed.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from eventmint.errors import FixData, FixSettings, LockHeld, TryAgain
from eventmint.storage.session import client, error_code, telling

# Objects are small beside the time of a request: many at once, whatever the number of cores.
_AT_ONCE = 16
_DELETED_AT_ONCE = 1000
# What may lie in the download folder between two pieces of work.
_KEPT_BYTES = 4 << 30
LEASE_SECONDS = 120
_GONE = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_TAKEN = frozenset({"409", "412", "ConditionalRequestConflict", "PreconditionFailed"})
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class S3Object:
    """One object as the listing showed it; the ETag changes when its content does."""

    location: str
    etag: str
    size_bytes: int
    modified: datetime


class Changed(Exception):
    """The object is not the one that was listed; `gone` tells whether there is none any more."""

    def __init__(self, location: str, *, gone: bool) -> None:
        super().__init__(location)
        self.gone = gone


@cache
def s3_client() -> Any:
    """The process's client; the region is that of the environment, and S3 redirects to a bucket's own."""
    return client("s3", region())


def region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-west-2"


def bucket_and_key(location: str) -> tuple[str, str]:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not bucket:
        raise FixSettings(f"{location}: names no bucket.", "Write s3://bucket/prefix.")
    return bucket, key


def list_objects(prefix: str) -> Iterator[S3Object]:
    """Yield every object below an address, in the order of their keys: all pages, or an error.

    Raises: FixSettings: there is no such bucket, or access is denied. TryAgain: S3 did not answer.
    """
    bucket, key = bucket_and_key(prefix)
    pages = s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    try:
        with telling():
            for page in pages:
                for item in page.get("Contents", ()):
                    yield S3Object(
                        f"s3://{bucket}/{item['Key']}",
                        item["ETag"].strip('"'),
                        item["Size"],
                        item["LastModified"],
                    )
    except FixData as err:
        if error_code(err.__cause__ or err) in _GONE:
            raise FixSettings(f"s3://{bucket}: no such bucket.", "Name a bucket that exists.") from err
        raise


def find_objects(locations: Iterable[str]) -> list[S3Object]:
    """Return the objects that lie at some addresses; an address without one is left out."""

    def find(location: str) -> S3Object | None:
        bucket, key = bucket_and_key(location)
        try:
            head = s3_client().head_object(Bucket=bucket, Key=key)
        except Exception as err:
            if error_code(err) in _GONE:
                return None
            with telling():
                raise
        return S3Object(location, head["ETag"].strip('"'), head["ContentLength"], head["LastModified"])

    return [found for found in _parallel(find, list(locations)) if found]


def download(location: str, target: Path, etag: str | None = None) -> None:
    """Copy an object to a local file, which appears whole or not at all.

    Args: etag: only if the object still is this one.
    Raises: Changed: it is gone, or another one. TryAgain, FixSettings: S3 cannot be read.
    """
    bucket, key = bucket_and_key(location)
    condition = {"IfMatch": etag} if etag else {}
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        answer = s3_client().get_object(Bucket=bucket, Key=key, **condition)
        with part.open("wb") as file:
            shutil.copyfileobj(answer["Body"], file, 1 << 20)
        _require_size(part, answer["ContentLength"], location)
        part.replace(target)
    except Exception as err:
        if error_code(err) in _GONE | _TAKEN:
            raise Changed(location, gone=error_code(err) in _GONE) from err
        with telling():
            raise
    finally:
        part.unlink(missing_ok=True)


def _require_size(file: Path, size_bytes: int, location: str) -> None:
    if file.stat().st_size != size_bytes:
        raise TryAgain(f"{location}: S3 sent less than the whole object.", "Run again.")


def download_all(wanted: Sequence[tuple[str, str, Path]]) -> list[Changed | None]:
    """Download several objects at once: address, ETag and local file of each.

    Returns: for each None, or why it could not be had as it was listed.
    """

    def fetch(one: tuple[str, str, Path]) -> Changed | None:
        location, etag, target = one
        try:
            download(location, target, etag)
        except Changed as err:
            return err
        return None

    return _parallel(fetch, wanted)


class Downloads:
    """Copies of objects that never change (files that a table knows), for as long as this process lives."""

    def __init__(self, folder: Path, kept_bytes: int = _KEPT_BYTES) -> None:
        self._folder = folder
        self._kept_bytes = kept_bytes

    @property
    def prefix(self) -> str:
        return f"{self._folder}/"

    def path(self, location: str) -> Path:
        return self._folder.joinpath(*bucket_and_key(location))

    def paths(self, locations: Sequence[str]) -> dict[str, str]:
        """Return for each address the local copy, made now where there is none yet."""
        absent = [location for location in dict.fromkeys(locations) if not self.path(location).exists()]

        def fetch(location: str) -> None:
            try:
                download(location, self.path(location))
            except Changed as err:
                raise FixData(
                    f"{location}: the file is missing.", "Restore it from a backup or a version."
                ) from err

        _parallel(fetch, absent)
        found = {location: self.path(location) for location in locations}
        for path in found.values():
            os.utime(path)
        return {location: str(path) for location, path in found.items()}

    def shrink(self) -> None:
        """Remove the copies used longest ago until the rest is small enough."""
        files = [(file.stat(), file) for file in self._folder.rglob("*") if file.is_file()]
        size = 0
        for status, file in sorted(files, key=lambda item: -item[0].st_mtime):
            size += status.st_size
            if size > self._kept_bytes:
                file.unlink(missing_ok=True)


@cache
def downloads() -> Downloads:
    folder = Path(tempfile.mkdtemp(prefix="eventmint-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Downloads(folder)


def put(moves: Sequence[tuple[str, str]]) -> None:
    """Upload local files (they stay as downloads of their new address), or move objects within S3."""

    def move(one: tuple[str, str]) -> None:
        source, target = one
        bucket, key = bucket_and_key(target)
        with telling():
            if source.startswith("s3://"):
                from_bucket, from_key = bucket_and_key(source)
                origin = {"Bucket": from_bucket, "Key": from_key}
                s3_client().copy(CopySource=origin, Bucket=bucket, Key=key)
                s3_client().delete_object(Bucket=from_bucket, Key=from_key)
                return
            s3_client().upload_file(source, bucket, key)
        kept = downloads().path(target)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, kept)

    _parallel(move, moves)


def remove(locations: Sequence[str]) -> None:
    keys: dict[str, list[str]] = {}
    for location in locations:
        bucket, key = bucket_and_key(location)
        keys.setdefault(bucket, []).append(key)
        downloads().path(location).unlink(missing_ok=True)
    for bucket, found in keys.items():
        for start in range(0, len(found), _DELETED_AT_ONCE):
            objects = [{"Key": key} for key in found[start : start + _DELETED_AT_ONCE]]
            with telling():
                answer = s3_client().delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise FixData(
                    f"s3://{bucket}/{first.get('Key')}: cannot be removed: {first.get('Message')}.",
                    "Grant s3:DeleteObject.",
                )


def missing(locations: Sequence[str]) -> list[str]:
    found = {item.location for item in find_objects(locations)}
    return [location for location in locations if location not in found]


def read_text(location: str) -> str | None:
    """Return what a small object says; None where there is none."""
    bucket, key = bucket_and_key(location)
    try:
        body: bytes = s3_client().get_object(Bucket=bucket, Key=key)["Body"].read()
    except Exception as err:
        if error_code(err) in _GONE:
            return None
        with telling():
            raise
    return body.decode()


def write_text(location: str, text: str) -> None:
    bucket, key = bucket_and_key(location)
    with telling():
        s3_client().put_object(Bucket=bucket, Key=key, Body=text.encode())


def open_ranged(location: str) -> Any:
    """Return an object as a seekable file that fetches only what is read."""
    from pyarrow.fs import S3FileSystem

    options = {"endpoint_override": endpoint} if (endpoint := endpoint_url()) else {}
    bucket, key = bucket_and_key(location)
    return S3FileSystem(region=region(), **options).open_input_file(f"{bucket}/{key}")


def endpoint_url() -> str | None:
    """The address of an emulator, as boto3 takes it; other libraries must be told."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _parallel(function: Callable[[Given], Made], items: Sequence[Given]) -> list[Made]:
    """Apply a function to each item with many requests under way; the first error ends it."""
    if len(items) <= 1:
        return [function(item) for item in items]
    s3_client()  # made once, before threads might each make one
    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
        return list(pool.map(function, items))


# ---- the lease ---------------------------------------------------------------------------------------------


@contextmanager
def lock(root: str) -> Iterator[None]:
    """Hold `<root>/.lock`: an object that only one writer can create, kept alive while the work goes on.

    A writer that dies leaves it behind; it can be taken over once its lease has run out. The lease saves
    work, it does not guard the tables: whoever wakes too late fails at the catalog's compare-and-swap.

    Raises: LockHeld: another run is at work.
    """
    lease = _Lease(f"{root}/.lock", LEASE_SECONDS)
    lease.take()
    try:
        yield
    finally:
        lease.release()


class _Lease:
    def __init__(self, location: str, seconds: int) -> None:
        self._bucket, self._key = bucket_and_key(location)
        self._root = location.removesuffix("/.lock")
        self._seconds = seconds
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._etag = ""
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def take(self) -> None:
        if not self._write(IfNoneMatch="*") and not self._take_over():
            raise LockHeld(
                f"{self._root}: another run is at work on this lake.",
                f"Wait for it to end; a run that died lets go after {self._seconds} seconds.",
            )
        self._keeper.start()

    def release(self) -> None:
        self._ended.set()
        self._keeper.join()
        try:
            # Only our own: another one may hold it by now.
            with telling():
                s3_client().delete_object(Bucket=self._bucket, Key=self._key, IfMatch=self._etag)
        except (FixData, FixSettings, TryAgain):
            pass  # it runs out by itself

    def _take_over(self) -> bool:
        try:
            answer = s3_client().get_object(Bucket=self._bucket, Key=self._key)
            held_until = float(json.loads(answer["Body"].read())["until"])
        except (ValueError, KeyError, TypeError):
            held_until = 0.0  # nothing that we wrote
        except Exception as err:
            if error_code(err) in _GONE:
                return self._write(IfNoneMatch="*")
            with telling():
                raise
        return held_until < time.time() and self._write(IfMatch=answer["ETag"])

    def _keep(self) -> None:
        while not self._ended.wait(self._seconds / 4):
            try:
                if not self._write(IfMatch=self._etag):
                    return  # somebody took it over: the catalog decides who commits
            except (FixData, FixSettings, TryAgain):
                continue

    def _write(self, **condition: str) -> bool:
        body = json.dumps({"holder": self._holder, "until": time.time() + self._seconds}).encode()
        try:
            answer = s3_client().put_object(Bucket=self._bucket, Key=self._key, Body=body, **condition)
        except Exception as err:
            if error_code(err) in _TAKEN:
                return False
            with telling():
                raise
        self._etag = answer["ETag"]
        return True
