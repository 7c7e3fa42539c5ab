"""Destroying against moto: what goes, what stays, and that nothing goes unasked."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from deployments import NAMES, REGION, account, client, deployed, keys_in, with_entry_script

from eventmint import cli
from eventmint.aws.destroy import Destruction, destroy
from eventmint.errors import TryAgain

pytestmark = pytest.mark.usefixtures("aws")
EVENTS = "events/year=2026/month=11/day=25/hour=10/minute=05/events-20261125-100500.jsonl.gz"


@pytest.fixture(autouse=True)
def _entry_script(monkeypatch: pytest.MonkeyPatch) -> None:
    with_entry_script(monkeypatch)


def put(bucket: str, key: str, body: bytes = b"x") -> None:
    client("s3").put_object(Bucket=bucket, Key=key, Body=body)


def with_data() -> None:
    """A deployment that has seen a run."""
    deployed()
    put(NAMES.source_bucket, EVENTS)
    put(NAMES.analytics_bucket, "lake/gold/hourly_revenue/data/1.parquet")
    put(NAMES.analytics_bucket, "athena-results/1.csv")
    put(NAMES.analytics_bucket, "tmp/spill")
    put(NAMES.log_bucket, "events/2026-11-25-10-05-00-ABC")


def destroyed(*, delete_data: bool) -> Destruction:
    return destroy(NAMES, REGION, delete_data=delete_data, consent=lambda _: True)


def test_destroying_keeps_data_and_empties_what_can_be_made_again() -> None:
    with_data()
    key = client("kms").list_keys()["Keys"][0]["KeyId"]

    done = destroyed(delete_data=False)

    there = account()
    assert there["cloudformation.describe_stacks"] == []
    assert there["lambda.list_functions"] == []
    assert there["glue.get_jobs"] == []
    assert there["athena.list_work_groups"] == ["primary"]
    assert there["s3.list_buckets"] == [NAMES.analytics_bucket, NAMES.source_bucket]
    assert keys_in(NAMES.source_bucket) == [EVENTS]
    assert keys_in(NAMES.analytics_bucket) == ["lake/gold/hourly_revenue/data/1.parquet"]
    assert there["glue.get_databases"] == ["bronze_dev_1", "gold_dev_1", "ops_dev_1", "silver_dev_1"]
    assert client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    assert sorted(done.left) == [
        "bucket capstone-analytics-dev-1-123456789012: 1 objects, 1 bytes",
        "bucket capstone-events-dev-1-123456789012: 1 objects, 1 bytes",
        "database bronze_dev_1: 0 tables",
        "database gold_dev_1: 0 tables",
        "database ops_dev_1: 0 tables",
        "database silver_dev_1: 0 tables",
        f"key {key}: encrypts what is kept",
    ]


def test_deleting_the_data_deletes_every_version_of_it() -> None:
    with_data()
    put(NAMES.source_bucket, EVENTS, b"a second version")
    client("s3").delete_object(Bucket=NAMES.source_bucket, Key=EVENTS)
    key = client("kms").list_keys()["Keys"][0]["KeyId"]

    done = destroyed(delete_data=True)

    there = account()
    assert there["s3.list_buckets"] == []
    assert there["glue.get_databases"] == []
    assert there["cloudformation.describe_stacks"] == []
    # Two versions and a marker; lake, result, spill and log; three artifacts.
    assert done.deleted_versions == 3 + 4 + 3
    assert done.left == ()
    assert client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_kept_data_can_be_deleted_later() -> None:
    with_data()
    destroyed(delete_data=False)
    key = client("kms").list_keys()["Keys"][0]["KeyId"]

    done = destroyed(delete_data=True)

    assert not done.has_stack
    assert account()["s3.list_buckets"] == []
    assert account()["glue.get_databases"] == []
    # Found by the bucket that it encrypts: the stack that made it is gone.
    assert client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_more_versions_than_one_call_deletes_are_deleted() -> None:
    deployed()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: put(NAMES.source_bucket, f"events/{n % 7}"), range(1_050)))

    done = destroyed(delete_data=True)

    assert done.deleted_versions == 1_050 + 3
    assert account()["s3.list_buckets"] == []


def test_a_deployment_without_data_goes_as_a_whole_and_can_come_again() -> None:
    deployed()

    done = destroyed(delete_data=False)

    assert done.left == ()
    assert account()["s3.list_buckets"] == []
    assert deployed().is_complete


def test_what_comes_while_the_stack_goes_is_not_deleted_unasked() -> None:
    deployed()

    def late(_: Destruction) -> bool:
        put(NAMES.source_bucket, EVENTS)
        return True

    with pytest.raises(TryAgain, match="data came while the stack was being deleted"):
        destroy(NAMES, REGION, delete_data=False, consent=late)

    assert keys_in(NAMES.source_bucket) == [EVENTS]
    left = destroyed(delete_data=False).left
    assert "bucket capstone-events-dev-1-123456789012: 1 objects, 1 bytes" in left
    assert keys_in(NAMES.source_bucket) == [EVENTS]


def test_a_dry_run_changes_nothing() -> None:
    with_data()
    before = account()

    plan = destroy(NAMES, REGION, delete_data=True, consent=None)

    assert {holding.fate for holding in plan.holdings} == {"deleted"}
    assert not plan.is_done
    assert account() == before


def test_without_a_terminal_it_wants_a_yes(capsys: pytest.CaptureFixture[str]) -> None:
    with_data()
    before = account()

    assert cli.main(["destroy", "--id", "dev-1", "--region", REGION, "--delete-data"]) == 2

    err = capsys.readouterr().err
    assert "Nothing was changed: nobody can be asked." in err
    assert "would be deleted  1 objects" in err
    assert account() == before


def test_where_there_is_nothing_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["destroy", "--id", "dev-1", "--region", REGION]) == 0
    assert "there is nothing to destroy" in capsys.readouterr().out


def test_json_says_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with_data()

    assert cli.main(["destroy", "--id", "dev-1", "--region", REGION, "--yes", "--json"]) == 0

    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["done"]
    assert "bucket capstone-events-dev-1-123456789012: 1 objects, 1 bytes" in document["left"]


def test_another_key_than_ours_is_left_alone() -> None:
    with_data()
    kms, s3 = client("kms"), client("s3")
    foreign = kms.create_key(Description="the accounting's")["KeyMetadata"]["KeyId"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": foreign}}
    s3.put_bucket_encryption(Bucket=NAMES.source_bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})

    destroyed(delete_data=True)

    assert kms.describe_key(KeyId=foreign)["KeyMetadata"]["KeyState"] == "Enabled"
