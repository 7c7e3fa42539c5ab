"""Storage in S3 as the rest of the code relies on it: whole objects or an error, one writer at a time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eventmint import storage
from eventmint.errors import FixData, FixSettings, LockHeld, TryAgain
from eventmint.sources.discover import list_source
from eventmint.sources.fetch import fetch
from eventmint.sources.gunzip import UnreadableFile
from eventmint.storage import s3

BUCKET = "capstone-test"
ROOT = f"s3://{BUCKET}/lake"


@pytest.fixture
def bucket(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket; a client of its own for the endpoint, and downloads of this test only."""
    del aws
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    yield client
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()


def text_at(client: Any, key: str) -> bytes:
    body: bytes = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def put_text(client: Any, key: str, text: bytes = b"text") -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=text)


# --- Objects ---------------------------------------------------------------------------------------------


def test_a_finished_file_moves_to_its_place_and_can_be_read_here_without_another_download(
    bucket: Any, tmp_path: Path
) -> None:
    made = tmp_path / "a file.parquet"
    made.write_bytes(b"content")
    storage.put([(made, f"{ROOT}/day=2026-01-15/a file.parquet")])
    assert text_at(bucket, "lake/day=2026-01-15/a file.parquet") == b"content"
    assert not made.exists()
    bucket.delete_object(Bucket=BUCKET, Key="lake/day=2026-01-15/a file.parquet")
    (near,) = storage.local_paths([f"{ROOT}/day=2026-01-15/a file.parquet"])
    assert Path(near).read_bytes() == b"content"


def test_files_are_fetched_once_and_come_in_the_order_asked_for(bucket: Any, tmp_path: Path) -> None:
    names = [f"lake/{number}" for number in range(40)]
    for name in names:
        put_text(bucket, name, name.encode())
    here = tmp_path / "here"
    here.write_bytes(b"here")
    wanted = [f"s3://{BUCKET}/{name}" for name in reversed(names)]
    found = storage.local_paths([str(here), *wanted, wanted[0]])
    texts = [Path(path).read_bytes().decode() for path in found]
    assert texts == ["here", *reversed(names), names[-1]]
    put_text(bucket, names[0], b"changed, which a file of a table never is")
    assert storage.local_paths([wanted[-1]]) == [found[-2]]
    assert Path(found[-2]).read_bytes() == b"lake/0"


def test_an_address_can_be_told_from_where_its_copy_lies(bucket: Any) -> None:
    put_text(bucket, "lake/a")
    (near,) = storage.local_paths([f"{ROOT}/a"])
    assert near.replace(storage.download_folder(), storage.SCHEME) == f"{ROOT}/a"


def test_a_missing_file_is_named(bucket: Any) -> None:
    put_text(bucket, "lake/a")
    assert storage.missing([f"{ROOT}/a", f"{ROOT}/b", "/nowhere"]) == ["/nowhere", f"{ROOT}/b"]
    with pytest.raises(FixData, match=f"{ROOT}/b: the file is missing"):
        storage.local_paths([f"{ROOT}/a", f"{ROOT}/b"])


def test_what_was_used_longest_ago_is_let_go_of_first(bucket: Any, tmp_path: Path) -> None:
    kept = s3.Downloads(tmp_path / "kept", kept_bytes=25)
    for name in "abc":
        put_text(bucket, name, b"ten bytes.")
        kept.paths([f"s3://{BUCKET}/{name}"])
        time.sleep(0.01)
    kept.paths([f"s3://{BUCKET}/a"])
    kept.shrink()
    assert sorted(path.name for path in (tmp_path / "kept" / BUCKET).iterdir()) == ["a", "c"]


def test_files_are_removed_here_and_there_and_twice_is_no_error(bucket: Any, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.touch()
    names = [f"many/{number}" for number in range(1100)]
    for name in names[:3]:
        put_text(bucket, name)
    addresses = [f"s3://{BUCKET}/{name}" for name in names]
    storage.local_paths(addresses[:1])
    for _ in range(2):
        storage.remove([str(here), *addresses])
        assert not here.exists()
        assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET)
    with pytest.raises(FixData):
        storage.local_paths(addresses[:1])


def test_a_footer_is_read_without_the_rest(bucket: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": range(1000)}), file)
    bucket.upload_file(str(file), BUCKET, "lake/x.parquet")
    assert pq.read_metadata(storage.open_parquet(f"{ROOT}/x.parquet")).num_rows == 1000
    assert storage.download_folder() == ""


def test_an_object_moves_within_s3(bucket: Any) -> None:
    put_text(bucket, "staging/x", b"made elsewhere")
    storage.put([(f"s3://{BUCKET}/staging/x", f"{ROOT}/x")])
    keys = [item["Key"] for item in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["lake/x"]
    assert text_at(bucket, "lake/x") == b"made elsewhere"


def test_an_upload_carries_a_checksum_that_s3_verifies(bucket: Any, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"content")
    storage.put([(file, f"{ROOT}/x")])
    head = bucket.head_object(Bucket=BUCKET, Key="lake/x", ChecksumMode="ENABLED")
    assert [name for name in head if name.startswith("Checksum")]


# --- Sources ---------------------------------------------------------------------------------------------


def test_a_listing_has_all_pages_in_the_order_of_arrival(bucket: Any) -> None:
    keys = [
        f"events/minute={m:02d}/events-20260115-10{m:02d}{s:02d}.jsonl.gz" for m in (5, 0) for s in range(60)
    ]
    keys += [f"events/late/{number:04d}.jsonl.gz" for number in range(900)]
    for key in keys:
        put_text(bucket, key)
    for key in ("events/readme.txt", "events-old/x.jsonl.gz", "other/x.jsonl.gz"):
        put_text(bucket, key)
    for root in (f"s3://{BUCKET}/events", f"s3://{BUCKET}/events/"):
        listing = list_source(root, "**/*.jsonl.gz")
        assert {file.path for file in listing.files} == {f"s3://{BUCKET}/{key}" for key in keys}
        assert len(listing.files) == 1020
        assert listing.files[0].path.endswith("events-20260115-100000.jsonl.gz")
        assert [file.received_at for file in listing.files] == sorted(f.received_at for f in listing.files)


def test_a_known_version_is_left_out_and_a_rewritten_object_is_a_new_version(bucket: Any) -> None:
    put_text(bucket, "events/a.jsonl.gz", b"one")
    (before,) = list_source(f"s3://{BUCKET}/events", "*.gz").files

    def is_known(path: str, version: str) -> bool:
        return (path, version) == (before.path, before.version)

    assert list_source(f"s3://{BUCKET}/events", "*.gz", is_known=is_known).files == ()
    put_text(bucket, "events/a.jsonl.gz", b"two")
    (after,) = list_source(f"s3://{BUCKET}/events", "*.gz", is_known=is_known).files
    assert (after.path, after.size_bytes) == (before.path, before.size_bytes)


def test_given_names_are_looked_at_instead_of_a_listing(bucket: Any) -> None:
    for name in "abc":
        put_text(bucket, f"events/{name}.jsonl.gz")
    only = [f"s3://{BUCKET}/events/{name}.jsonl.gz" for name in ("c", "gone", "a")]
    only.append(f"s3://{BUCKET}/elsewhere/x.jsonl.gz")
    put_text(bucket, "elsewhere/x.jsonl.gz")
    listing = list_source(f"s3://{BUCKET}/events", "**/*.jsonl.gz", only=only)
    assert [file.path for file in listing.files] == [only[2], only[0]]


def test_a_missing_bucket_is_a_wrong_setting(bucket: Any) -> None:
    del bucket
    with pytest.raises(FixSettings, match="s3://capstone-nowhere: no such bucket"):
        list_source("s3://capstone-nowhere/events", "*.gz")


def test_an_object_that_changed_or_went_after_the_listing_is_not_taken(bucket: Any, tmp_path: Path) -> None:
    for name in ("changed", "gone", "kept"):
        put_text(bucket, f"events/{name}.jsonl.gz", name.encode())
    files = list_source(f"s3://{BUCKET}/events", "*.gz").files
    put_text(bucket, "events/changed.jsonl.gz", b"another")
    bucket.delete_object(Bucket=BUCKET, Key="events/gone.jsonl.gz")
    found = dict(
        zip([file.path.rpartition("/")[2] for file in files], fetch(files, tmp_path / "f"), strict=True)
    )
    changed, gone, kept = (found[f"{name}.jsonl.gz"] for name in ("changed", "gone", "kept"))
    assert isinstance(changed, UnreadableFile)
    assert isinstance(gone, UnreadableFile)
    assert (changed.reason, gone.reason) == ("changed_while_reading", "vanished")
    assert not isinstance(kept, UnreadableFile)
    assert Path(kept.location).read_bytes() == b"kept"
    assert [path.name for path in (tmp_path / "f").iterdir()] == [Path(kept.location).name]


# --- Trouble ---------------------------------------------------------------------------------------------


def test_an_endpoint_that_does_not_answer_says_so(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    del bucket
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3.s3_client.cache_clear()
    with pytest.raises(TryAgain, match="cannot be reached"):
        list_source(f"s3://{BUCKET}/events", "*.gz")


def test_an_address_without_a_bucket_is_a_wrong_setting() -> None:
    with pytest.raises(FixSettings, match="names no bucket"):
        list_source("s3:///events", "*.gz")


# --- The lease -------------------------------------------------------------------------------------------


def test_one_writer_at_a_time_and_the_lock_is_gone_afterwards(bucket: Any) -> None:
    with storage.lock(ROOT):
        holder = json.loads(text_at(bucket, "lake/.lock"))
        assert holder["until"] > time.time()
        with pytest.raises(LockHeld, match="another run is at work"), storage.lock(ROOT):
            pytest.fail("two writers")
        with storage.lock(f"{ROOT}-of-another-shop"):
            pass
    assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET)
    with storage.lock(ROOT):
        pass


def test_a_lease_that_ran_out_is_taken_over_and_the_old_holder_lets_it_be(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LEASE_SECONDS", 3600)
    old = s3._Lease(f"{ROOT}/.lock", 3600)
    old.take()
    put_text(bucket, "lake/.lock", json.dumps({"holder": "died", "until": time.time() - 1}).encode())
    with storage.lock(ROOT):
        mine = hashlib.sha256(text_at(bucket, "lake/.lock")).hexdigest()
        old.release()
        assert hashlib.sha256(text_at(bucket, "lake/.lock")).hexdigest() == mine


def test_a_lock_that_nobody_can_read_is_taken_over(bucket: Any) -> None:
    put_text(bucket, "lake/.lock", b"not what we write")
    with storage.lock(ROOT):
        assert json.loads(text_at(bucket, "lake/.lock"))["until"] > time.time()


def test_a_lease_is_kept_alive_while_the_work_goes_on(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "LEASE_SECONDS", 1)
    with storage.lock(ROOT):
        first = json.loads(text_at(bucket, "lake/.lock"))["until"]
        time.sleep(1.5)
        assert json.loads(text_at(bucket, "lake/.lock"))["until"] > first
        with pytest.raises(LockHeld), storage.lock(ROOT):
            pytest.fail("two writers")
