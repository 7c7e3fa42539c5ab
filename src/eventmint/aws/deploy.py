"""Deploying: the stack as the template says, the job's files beside it, every resource asked for.

It may be called again and again: what is there already is left as it is, and it says so. Nothing is changed
before the plan was agreed to; without consent no trace of it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from eventmint.aws import artifacts as files
from eventmint.aws.examine import Verdict, examine
from eventmint.aws.names import Names
from eventmint.aws.stack import Plan, Resource, Stack
from eventmint.errors import EventmintError, FixData, FixSettings
from eventmint.storage.session import client, error_code, is_emulator, telling

# Parameters of the template that deploying itself sets.
ID, ARTIFACTS = "StudentId", "Artifacts"
REPORT = "Report"  # decides what else the job needs

Say = Callable[[str], None]
Consent = Callable[[Plan], bool]


@dataclass(frozen=True)
class Deployment:
    """What a call did, or would do.

    Attributes:
        action: `create`, `update` or `nothing`.
        is_done: whether it was carried out; False for a dry run and where consent was refused.
        uploaded: keys put into the analytics bucket (in a dry run: that would be).
        notes: what the emulator needed beyond CloudFormation.
    """

    names: Names
    region: str
    plan: Plan
    artifacts: str
    is_done: bool = False
    uploaded: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    outputs: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        return self.plan.kind.lower() if self.plan.id else "nothing"

    @property
    def is_complete(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)

    def document(self) -> dict[str, Any]:
        return {
            "id": self.names.id,
            "stack": self.names.stack,
            "account": self.names.account,
            "region": self.region,
            "action": self.action,
            "done": self.is_done,
            "plan": [asdict(change) for change in self.plan.changes],
            "artifacts": {
                "prefix": f"s3://{self.names.analytics_bucket}/{self.artifacts}",
                "uploaded": list(self.uploaded),
            },
            "resources": [asdict(verdict) for verdict in self.verdicts],
            "complete": self.is_complete,
            "outputs": dict(self.outputs or {}),
            "notes": list(self.notes),
        }


def deploy(
    names: Names,
    region: str,
    template: str,
    parameters: Mapping[str, str],
    *,
    consent: Consent | None,
    say: Say = lambda _: None,
) -> Deployment:
    """Bring a deployment to what template and parameters say.

    Args:
        parameters: values for the template; on an update those not given stay as they are.
        consent: shown the plan before anything is changed; None for a dry run.
    Raises:
        FixSettings, FixData, TryAgain: what to do is in the hint; a failed change was taken back by AWS.
    """
    stack = Stack(names.stack, region)
    built = files.build(with_report={**stack.parameters(), **parameters}.get(REPORT) == "true")
    say(f"artifacts  {files.WHEEL}, {len(built.contents)} files, {built.prefix}")
    if stack.kind_of_change() == "CREATE":
        _require_no_remains(names, region)
    plan = stack.plan(template, {**parameters, ID: names.id, ARTIFACTS: built.prefix})
    deployment = Deployment(names, region, plan, built.prefix)
    say(f"plan       {_sentence(plan, names.stack)}")
    s3, uploaded = client("s3", region), []
    try:
        if consent is None:
            deployment = replace(deployment, uploaded=_to_upload(s3, plan, names, built))
        is_agreed = consent is not None and (not plan.id or consent(plan))
        if is_agreed and plan.kind == "UPDATE":
            # First, so that the job never names files that are not there.
            uploaded = files.upload(s3, names.analytics_bucket, names.account, built)
    except BaseException:
        with suppress(EventmintError):
            stack.discard(plan)
        raise
    if not is_agreed:
        stack.discard(plan)
        return deployment
    return _carry_out(replace(deployment, uploaded=tuple(uploaded)), stack, template, built, say)


def _carry_out(
    deployment: Deployment, stack: Stack, template: str, built: files.Artifacts, say: Say
) -> Deployment:
    names, region, plan, uploaded = deployment.names, deployment.region, deployment.plan, deployment.uploaded
    if plan.id:
        say(f"stack      {plan.kind.lower()} of {names.stack} has begun")
        stack.apply(plan)
        say(f"stack      {names.stack} is {stack.state()}")
    resources, outputs, notes = _what_there_is(stack, names, template, has_changed=bool(plan.id))
    for note in notes:
        say(f"emulator   {note}")
    if plan.kind == "CREATE":
        # There was no bucket before. A run that the clock starts just now fails; the next one is well.
        s3 = client("s3", region)
        uploaded = tuple(files.upload(s3, names.analytics_bucket, names.account, built))
    say(f"artifacts  {len(uploaded)} uploaded, {len(built.contents) - len(uploaded)} there already")
    verdicts = examine(names, region, resources, built.prefix)
    say(f"resources  {sum(verdict.holds for verdict in verdicts)} of {len(verdicts)} are as they must be")
    return replace(
        deployment,
        is_done=True,
        uploaded=uploaded,
        verdicts=tuple(verdicts),
        outputs=outputs,
        notes=tuple(notes),
    )


def _what_there_is(
    stack: Stack, names: Names, template: str, *, has_changed: bool
) -> tuple[list[Resource], Mapping[str, str], list[str]]:
    """Return resources, outputs and notes of a stack that was made; the emulator's gaps are filled first."""
    resources = stack.resources()
    if not is_emulator(stack.cloudformation.meta.endpoint_url):
        return resources, stack.outputs(), []
    from eventmint.aws.replay import replay

    done = replay(stack, names, template, has_changed=has_changed)
    notes = [f"replayed {len(done.created)} resources that its CloudFormation skips"] if done.created else []
    if done.left_to_the_run:
        notes.append(f"left to the first run: {len(done.left_to_the_run)} tables")
    if done.not_emulated:
        notes.append(f"cannot hold {', '.join(done.not_emulated)}")
    made = {resource.logical_id for resource in done.created}
    kept = [resource for resource in resources if resource.logical_id not in made]
    return [*kept, *done.created], done.outputs, notes


def _require_no_remains(names: Names, region: str) -> None:
    """Refuse before anything is made: a stack can't create a bucket that an earlier one has left behind."""
    for bucket in (names.source_bucket, names.analytics_bucket, names.log_bucket):
        if bucket_exists(names, region, bucket):
            raise FixData(
                f"bucket {bucket} is there already, kept when an earlier stack {names.stack} was destroyed.",
                f"Delete it with `eventmint destroy --id {names.id} --delete-data`, take another --id, or "
                "bring what was kept into a stack by hand: CloudFormation calls that resource import.",
            )


def bucket_exists(names: Names, region: str, bucket: str) -> bool:
    """Whether the account has a bucket.

    Raises: FixSettings: the name is taken by somebody else, or nobody may look.
    """
    try:
        with telling():
            client("s3", region).head_bucket(Bucket=bucket, ExpectedBucketOwner=names.account)
    except FixData as err:
        if error_code(err.__cause__) in ("404", "NoSuchBucket"):
            return False
        raise
    except FixSettings as err:
        if "denied" in err.message:
            raise FixSettings(
                f"bucket {bucket} belongs to another account, or you may not see it.", "Take another --id."
            ) from err
        raise
    return True


def _to_upload(s3: Any, plan: Plan, names: Names, built: files.Artifacts) -> tuple[str, ...]:
    if plan.kind == "CREATE":
        return tuple(built.keys)
    return tuple(files.missing_keys(s3, names.analytics_bucket, names.account, built))


def _sentence(plan: Plan, stack: str) -> str:
    if not plan.id:
        return f"stack {stack}: nothing changes"
    return f"{plan.kind.lower()} stack {stack}: {len(plan.changes)} changes"
