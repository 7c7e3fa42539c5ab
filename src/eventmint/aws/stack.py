"""One CloudFormation stack: its state in words, changes as a plan, a plan carried out, failures explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from eventmint.aws.waiting import wait_until
from eventmint.errors import FixData, FixSettings, TryAgain
from eventmint.storage.session import client, error_code, telling

# What CloudFormation takes in the call itself; a larger template must lie in a bucket, and there is none yet.
TEMPLATE_BYTES = 51_200
PLAN_SECONDS = 300
APPLY_SECONDS = 3600
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_ABSENT, _IN_REVIEW = "", "REVIEW_IN_PROGRESS"


@dataclass(frozen=True)
class Change:
    """One line of a plan.

    Attributes:
        action: Add, Modify, Remove, Import or Dynamic, as CloudFormation says it.
        replacement: True, False or Conditional for a modification, else empty.
    """

    action: str
    logical_id: str
    type: str
    replacement: str = ""


@dataclass(frozen=True)
class Plan:
    """A change set that waits to be carried out; `id` is empty where nothing changes."""

    id: str
    kind: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Resource:
    logical_id: str
    type: str
    physical_id: str
    status: str


class Stack:
    """A stack by its name, whether it exists or not."""

    def __init__(self, name: str, region: str) -> None:
        self.name = name
        self.region = region
        self.cloudformation = client("cloudformation", region)

    # ---- what is there -------------------------------------------------------------------------------------

    def described(self) -> Mapping[str, Any]:
        """Return what CloudFormation knows; empty where there is no such stack."""
        try:
            with telling():
                (found,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        except FixData as err:
            if error_code(err.__cause__) == "ValidationError" and "does not exist" in err.message:
                return {}
            raise
        return dict(found)

    def state(self) -> str:
        """Return the stack's status, such as CREATE_COMPLETE; empty where there is none."""
        return str(self.described().get("StackStatus", _ABSENT))

    def parameters(self) -> dict[str, str]:
        return {
            entry["ParameterKey"]: entry.get("ParameterValue", "")
            for entry in self.described().get("Parameters", ())
        }

    def outputs(self) -> dict[str, str]:
        return {entry["OutputKey"]: entry["OutputValue"] for entry in self.described().get("Outputs", ())}

    def resources(self) -> list[Resource]:
        with telling():
            pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.name)
            found = [entry for page in pages for entry in page["StackResourceSummaries"]]
        return [
            Resource(
                entry["LogicalResourceId"],
                entry["ResourceType"],
                entry.get("PhysicalResourceId", ""),
                entry["ResourceStatus"],
            )
            for entry in found
            if entry.get("LogicalResourceId")  # moto lists what it skipped, without a name
        ]

    # ---- what would change ---------------------------------------------------------------------------------

    def kind_of_change(self) -> str:
        """Return CREATE or UPDATE.

        Raises:
            TryAgain: somebody else is changing the stack.
            FixData: the stack is in a state that nothing can be built on; the hint says the way out.
        """
        state = self.state()
        if state in (_ABSENT, _IN_REVIEW):
            return "CREATE"
        if state.endswith("_IN_PROGRESS"):
            raise TryAgain(
                f"stack {self.name}: somebody is changing it ({state}).", "Wait until that is done."
            )
        if state in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"):
            raise FixData(
                f"stack {self.name}: its creation failed ({state}){self._because()}",
                "Remove it with `eventmint destroy`, then deploy again.",
            )
        if state == "DELETE_FAILED":
            raise FixData(
                f"stack {self.name}: its deletion failed{self._because()}",
                "Go on with `eventmint destroy`, then deploy again.",
            )
        if state == "UPDATE_ROLLBACK_FAILED":
            raise FixData(
                f"stack {self.name}: an update failed and could not be taken back{self._because()}",
                f"Run `aws cloudformation continue-update-rollback --stack-name {self.name}`.",
            )
        return "UPDATE"

    def parameters_of(self, template: str) -> dict[str, str | None]:
        """Return the parameters of a template with their defaults; None where a value must be given.

        Raises: FixSettings: too large, or no template at all.
        """
        size = len(template.encode())
        if size >= TEMPLATE_BYTES:
            raise FixSettings(f"The template has {size:,} bytes, {TEMPLATE_BYTES:,} are too many.")
        try:
            with telling():
                summary = self.cloudformation.get_template_summary(TemplateBody=template)
        except FixData as err:
            raise FixSettings(f"The template is refused: {err.message}") from err
        return {entry["ParameterKey"]: entry.get("DefaultValue") for entry in summary.get("Parameters", ())}

    def plan(self, template: str, parameters: Mapping[str, str]) -> Plan:
        """Return what would change; CloudFormation keeps it until it is applied or discarded.

        Args: parameters: the values to set; on an update every other one stays as it is.
        """
        kind = self.kind_of_change()
        known, held = self.parameters_of(template), self.parameters() if kind == "UPDATE" else {}
        name = f"eventmint-{uuid4().hex[:12]}"
        try:
            with telling():
                made = self.cloudformation.create_change_set(
                    StackName=self.name,
                    ChangeSetName=name,
                    ChangeSetType=kind,
                    TemplateBody=template,
                    Parameters=_parameters(known, held, parameters),
                    Capabilities=["CAPABILITY_NAMED_IAM"],
                )["Id"]
        except FixData as err:
            if _says_no_changes(err.message):
                return Plan("", kind, ())
            raise
        plan = Plan(made, kind, ())
        try:
            return self._finished(plan)
        except BaseException:
            self.discard(plan)
            raise

    def _finished(self, plan: Plan) -> Plan:
        seen = wait_until(
            lambda: self._described_plan(plan),
            lambda seen: seen["Status"] in ("CREATE_COMPLETE", "FAILED"),
            f"change set of stack {self.name}",
            PLAN_SECONDS,
        )
        if seen["Status"] == "CREATE_COMPLETE":
            return Plan(plan.id, plan.kind, tuple(self._changes(plan)))
        reason = seen.get("StatusReason", "without a reason")
        if _says_no_changes(reason):
            self.discard(plan)
            return Plan("", plan.kind, ())
        raise FixData(f"stack {self.name}: the changes are refused: {reason}", "Nothing was changed.")

    def _described_plan(self, plan: Plan) -> Mapping[str, Any]:
        with telling():
            return dict(self.cloudformation.describe_change_set(ChangeSetName=plan.id, StackName=self.name))

    def _changes(self, plan: Plan) -> Iterator[Change]:
        with telling():
            pages = list(
                self.cloudformation.get_paginator("describe_change_set").paginate(
                    ChangeSetName=plan.id, StackName=self.name
                )
            )
        for page in pages:
            for entry in page.get("Changes", ()):
                change = entry["ResourceChange"]
                yield Change(
                    change["Action"],
                    change["LogicalResourceId"],
                    change["ResourceType"],
                    change.get("Replacement", ""),
                )

    def discard(self, plan: Plan) -> None:
        """Leave everything as it was: no change set, no stack that only it had called into being."""
        if not plan.id:
            return
        with telling():
            self.cloudformation.delete_change_set(ChangeSetName=plan.id, StackName=self.name)
            if plan.kind == "CREATE" and self.state() == _IN_REVIEW:
                self.cloudformation.delete_stack(StackName=self.name)

    # ---- changing it ---------------------------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Carry out a plan and wait for its end.

        Raises: FixData: it failed and was taken back; each cause is named.
        """
        token = f"eventmint-{uuid4().hex[:12]}"
        with telling():
            self.cloudformation.execute_change_set(
                ChangeSetName=plan.id, StackName=self.name, ClientRequestToken=token
            )
        state = self._end(f"{plan.kind} of stack {self.name}")
        if state != f"{plan.kind}_COMPLETE":
            raise FixData(
                f"stack {self.name}: {plan.kind.lower()} failed ({state}){self._because(token)}",
                "Mend the cause, then deploy again."
                if plan.kind == "UPDATE"
                else "Mend the cause, run `eventmint destroy`, then deploy again.",
            )

    def delete(self) -> None:
        """Delete the stack and wait for its end; what the template retains stays.

        Raises: FixData: something cannot be deleted; each cause is named.
        """
        # By its id: once it is gone, its name means nothing any more.
        id_ = str(self.described().get("StackId", ""))
        if not id_:
            return
        gone = Stack(id_, self.region)
        token = f"eventmint-{uuid4().hex[:12]}"
        with telling():
            self.cloudformation.delete_stack(StackName=id_, ClientRequestToken=token)
        state = gone._end(f"deletion of stack {self.name}")
        if state not in ("DELETE_COMPLETE", _ABSENT):
            raise FixData(
                f"stack {self.name}: deletion failed ({state}){gone._because(token)}",
                "Mend the cause, then run `eventmint destroy` again.",
            )

    def _end(self, what: str) -> str:
        return wait_until(
            self.state,
            lambda state: not state.endswith("_IN_PROGRESS"),
            what,
            APPLY_SECONDS,
        )

    def _because(self, token: str = "") -> str:
        """Return the causes of a failure as the end of a sentence."""
        causes = self.failures(token)
        return f": {'; '.join(causes)}" if causes else "."

    def failures(self, token: str = "") -> list[str]:
        """Return what failed, the oldest first, without what was only called off because of it.

        Args: token: only of the call with this token; empty for the newest 1,000 events.
        """
        with telling():
            pages = self.cloudformation.get_paginator("describe_stack_events").paginate(
                StackName=self.name, PaginationConfig={"MaxItems": 1000}
            )
            events = [event for page in pages for event in page["StackEvents"]]
        return [
            f"{event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatusReason']}"
            for event in reversed(events)
            if event.get("ResourceStatus", "").endswith("_FAILED")
            and token in ("", event.get("ClientRequestToken"))
            and "cancelled" not in event.get("ResourceStatusReason", "cancelled")
        ]


def _parameters(
    known: Mapping[str, str | None], held: Mapping[str, str], given: Mapping[str, str]
) -> Sequence[Mapping[str, Any]]:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise FixSettings(f"The template has no parameter {unknown[0]}.", f"It has {', '.join(known)}.")
    needed = sorted(name for name in set(known) - set(given) - set(held) if known[name] is None)
    if needed:
        raise FixSettings(f"The template wants a value for {needed[0]}.")
    # Defaults are said too, which changes nothing on AWS: the emulator takes a parameter that was left out
    # at first and is mentioned later for one that has changed.
    values = {name: default for name, default in known.items() if default is not None and not held}
    values |= given
    return [
        {"ParameterKey": name, "ParameterValue": values[name]}
        if name in values
        else {"ParameterKey": name, "UsePreviousValue": True}
        for name in known
        if name in values or name in held
    ]


def _says_no_changes(text: str) -> bool:
    return any(words in text for words in NO_CHANGES)
