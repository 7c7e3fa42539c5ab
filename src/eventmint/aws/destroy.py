"""Destroying: the stack goes, and what deploying made; what holds data stays, unless told otherwise.

The template retains buckets, catalog and key when its stack is deleted, so that no deletion of a stack, by
whatever hand, takes data with it. What of that may go is decided and done here, after the stack is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from eventmint.aws.buckets import Bucket
from eventmint.aws.deploy import bucket_exists
from eventmint.aws.examine import SCHEMAS
from eventmint.aws.names import Names
from eventmint.aws.stack import Stack
from eventmint.errors import FixData, TryAgain
from eventmint.storage.session import client, error_code, is_emulator, telling

# In the analytics bucket: what can be made again.
OURS = ("artifacts/", "athena-results/", "logs/", "tmp/")
# The least that KMS allows: until then the deletion can be taken back.
KEY_DAYS = 7
KEY_TAG = "eventmint-deployment"
_NOT_FOUND = ("EntityNotFoundException", "NotFoundException")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Holding:
    """Something that the stack's deletion leaves behind.

    Attributes:
        kind: `bucket`, `database` or `key`.
        fate: `kept` or `deleted`.
        holds: what is in it, in words.
    """

    kind: str
    name: str
    fate: str
    holds: str


@dataclass(frozen=True)
class Destruction:
    """What goes and what stays.

    Attributes:
        resources: of the stack, as `logical id (type)`; they go with it.
        deleted_versions: objects deleted for good, each version counted.
        left: what is there afterwards, in words.
    """

    names: Names
    region: str
    has_stack: bool
    resources: tuple[str, ...]
    holdings: tuple[Holding, ...]
    is_done: bool = False
    deleted_versions: int = 0
    left: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.has_stack and not self.holdings

    def document(self) -> dict[str, Any]:
        return {
            "id": self.names.id,
            "stack": self.names.stack,
            "account": self.names.account,
            "region": self.region,
            "stack_exists": self.has_stack,
            "done": self.is_done,
            "resources": list(self.resources),
            "holdings": [vars(holding) for holding in self.holdings],
            "deleted_versions": self.deleted_versions,
            "left": list(self.left),
        }


def destroy(
    names: Names,
    region: str,
    *,
    delete_data: bool,
    consent: Callable[[Destruction], bool] | None,
    say: Say = lambda _: None,
) -> Destruction:
    """Remove a deployment.

    Args:
        delete_data: also the events, the lake with every version, its catalog and its key.
        consent: shown what goes and what stays before anything does; None for a dry run.
    """
    work = _Work(names, region, say)
    plan = work.plan(delete_data=delete_data)
    if plan.is_empty or consent is None or not consent(plan):
        return plan
    if plan.has_stack:
        work.delete_stack()
        work.require_nothing_came(plan, delete_data=delete_data)
    versions = sum(work.remove(holding) for holding in plan.holdings)
    kept = [holding for holding in plan.holdings if holding.fate == "kept"]
    left = [f"{holding.kind} {holding.name}: {work.contents(holding)}" for holding in kept]
    return replace(plan, is_done=True, deleted_versions=versions, left=tuple(left))


class _Work:
    def __init__(self, names: Names, region: str, say: Say) -> None:
        self._names, self._region, self._say = names, region, say
        self._stack = Stack(names.stack, region)
        self._s3 = client("s3", region)
        self._glue = client("glue", region)
        self._kms = client("kms", region)

    # ---- what there is -------------------------------------------------------------------------------------

    def plan(self, *, delete_data: bool) -> Destruction:
        names, has_stack = self._names, bool(self._stack.state())
        resources = self._stack.resources() if has_stack else []
        of_stack = [r.physical_id for r in resources if r.type == "AWS::S3::Bucket" and r.physical_id]
        buckets = [
            name
            for name in dict.fromkeys(
                [names.source_bucket, names.analytics_bucket, names.log_bucket, *of_stack]
            )
            if bucket_exists(names, self._region, name)
        ]
        with_data = {name for name in buckets if self._has_data(name)}
        keeps_data = bool(with_data) and not delete_data
        found = [("database", name) for schema in SCHEMAS if self._has(name := names.database(schema))]
        # Catalog and key live and die with the data: without them nobody finds it, or can read it.
        fates = [(kind, name, keeps_data) for kind, name in found]
        fates += [("bucket", name, keeps_data and name in with_data) for name in buckets]
        of_stack = [r.physical_id for r in resources if r.type == "AWS::KMS::Key"]
        fates += [("key", key, keeps_data) for key in self._keys(buckets, of_stack)]
        holdings = [Holding(kind, name, "kept" if keep else "deleted", "") for kind, name, keep in fates]
        return Destruction(
            names,
            self._region,
            has_stack,
            tuple(f"{r.logical_id} ({r.type})" for r in resources),
            tuple(replace(holding, holds=self.contents(holding)) for holding in holdings),
        )

    def _bucket(self, name: str) -> Bucket:
        return Bucket(self._s3, name, self._names.account)

    def _has_data(self, bucket: str) -> bool:
        ours = {self._names.source_bucket: (), self._names.analytics_bucket: OURS}
        return bucket in ours and self._bucket(bucket).holds_more_than(ours[bucket])

    def _has(self, database: str) -> bool:
        try:
            with telling():
                self._glue.get_database(Name=database)
        except FixData as err:
            if error_code(err.__cause__) in _NOT_FOUND:
                return False
            raise
        return True

    def _keys(self, buckets: list[str], of_stack: list[str]) -> list[str]:
        """Return the keys that the template made and that are still there."""
        asked = {self._key_of(name) for name in buckets} | set(of_stack)
        found: dict[str, None] = {}
        for key in asked - {""}:
            with suppress(FixData), telling():
                seen = self._kms.describe_key(KeyId=key)["KeyMetadata"]
                is_there = seen["KeyManager"] == "CUSTOMER" and seen["KeyState"] != "PendingDeletion"
                if is_there and (key in of_stack or self._is_ours(key)):
                    found[seen["KeyId"]] = None
        return sorted(found)

    def _is_ours(self, key: str) -> bool:
        """Whether a tag says so: CloudFormation's, or the one that we put on a key that we keep."""
        tags = self._kms.list_resource_tags(KeyId=key)["Tags"]
        ours = {("aws:cloudformation:stack-name", self._names.stack), (KEY_TAG, self._names.id)}
        return any((tag["TagKey"], tag["TagValue"]) in ours for tag in tags)

    def _key_of(self, bucket: str) -> str:
        try:
            with telling():
                rules = self._s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        except FixData:
            return ""  # a bucket that has none
        default = rules["Rules"][0].get("ApplyServerSideEncryptionByDefault", {})
        return str(default.get("KMSMasterKeyID", ""))

    def contents(self, holding: Holding) -> str:
        """Return what is in a holding, in words."""
        if holding.kind == "bucket":
            objects, size_bytes = self._bucket(holding.name).size()
            return f"{objects:,} objects, {size_bytes:,} bytes"
        if holding.kind == "database":
            with telling():
                pages = list(self._glue.get_paginator("get_tables").paginate(DatabaseName=holding.name))
            return f"{sum(len(page['TableList']) for page in pages):,} tables"
        return "encrypts what is kept" if holding.fate == "kept" else "encrypts nothing any more"

    # ---- what goes -----------------------------------------------------------------------------------------

    def delete_stack(self) -> None:
        name = self._names.stack
        self._say(f"stack      deletion of {name} has begun")
        if is_emulator(self._stack.cloudformation.meta.endpoint_url):
            from eventmint.aws.replay import remove

            # Its CloudFormation does not know of what was replayed.
            remove(self._stack, self._names)
        self._stack.delete()
        self._say(f"stack      {name} is gone")

    def require_nothing_came(self, plan: Destruction, *, delete_data: bool) -> None:
        """Refuse to delete, unasked, what came between the plan and the end of the stack."""
        for holding in plan.holdings:
            is_bucket = holding.kind == "bucket" and holding.fate == "deleted"
            if not is_bucket or delete_data or not bucket_exists(self._names, self._region, holding.name):
                continue
            if self._has_data(holding.name):
                raise TryAgain(
                    f"bucket {holding.name}: data came while the stack was being deleted; it is kept.",
                    "Run `eventmint destroy` again for the rest, with --delete-data for all.",
                )

    def remove(self, holding: Holding) -> int:
        """Do to a holding what the plan says; return how many versions of objects were deleted."""
        count = 0
        if holding.kind == "bucket" and bucket_exists(self._names, self._region, holding.name):
            bucket = self._bucket(holding.name)
            if holding.fate == "deleted":
                count = bucket.clear()
                bucket.delete()
            elif holding.name == self._names.analytics_bucket:
                count = sum(bucket.clear(prefix) for prefix in OURS)
        elif holding.fate == "deleted" and holding.kind == "database" and self._has(holding.name):
            with telling():
                self._glue.delete_database(Name=holding.name)
        elif holding.kind == "key":
            with telling():
                if holding.fate == "deleted":
                    self._kms.schedule_key_deletion(KeyId=holding.name, PendingWindowInDays=KEY_DAYS)
                else:
                    # The stack that says whose it is is gone: a later call must know.
                    tag = {"TagKey": KEY_TAG, "TagValue": self._names.id}
                    self._kms.tag_resource(KeyId=holding.name, Tags=[tag])
        said = {"kept": "is kept", "deleted": "is gone"}[holding.fate]
        if holding.kind == "key" and holding.fate == "deleted":
            said = f"is deleted in {KEY_DAYS} days"
        self._say(f"{holding.kind:<10} {holding.name} {said}")
        return count
