"""What moto's CloudFormation leaves out, made up for: created through each service's own calls.

moto 5.2 says CREATE_COMPLETE and skips these types in silence, and forgets most settings of buckets.
Replaying creates them from the very same template with its parameters worked out. What moto can't hold at all
is listed, never counted as there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eventmint.aws.intrinsics import Resolver, load_template
from eventmint.aws.names import Names
from eventmint.aws.stack import Resource, Stack
from eventmint.errors import FixData, FixSettings
from eventmint.storage.session import client, error_code, telling

Properties = dict[str, Any]

# moto writes no metadata for an Iceberg table: PyIceberg could not open it. The first run creates it in full.
LEFT_TO_THE_RUN = frozenset({"AWS::Glue::Table"})


@dataclass(frozen=True)
class Replayed:
    """What was done.

    Attributes:
        created: resources that CloudFormation skipped; all of them are there now.
        completed: buckets and keys whose lost settings were set.
        left_to_the_run: tables that the first run of the pipeline creates.
        not_emulated: resources of the template that the emulator cannot hold, as `logical id (type)`.
        outputs: of the template; moto gives none for a stack that came of a change set.
    """

    created: tuple[Resource, ...]
    completed: tuple[str, ...]
    left_to_the_run: tuple[str, ...]
    not_emulated: tuple[str, ...]
    outputs: Mapping[str, str]


def replay(stack: Stack, names: Names, template: str, *, has_changed: bool) -> Replayed:
    """Create what is missing after a stack was made in the emulator.

    Args:
        has_changed: the template or its parameters: what is there already is made anew, for moto knows no
            update of most types; a job forgets its runs then.
    """
    made = {resource.logical_id: resource for resource in stack.resources()}
    work = _Work(stack, names, load_template(template), made)
    created, completed, left, impossible = [], [], [], []
    for logical_id, body in work.in_order():
        kind = body["Type"]
        if kind == "AWS::S3::Bucket":
            work.complete_bucket(made[logical_id].physical_id, work.properties(body))
            completed.append(logical_id)
        elif kind == "AWS::KMS::Key":
            work.complete_key(made[logical_id].physical_id, work.properties(body))
            completed.append(logical_id)
        elif kind in LEFT_TO_THE_RUN:
            left.append(logical_id)
        elif kind == "AWS::S3::BucketPolicy" and not work.has_statements(body):
            impossible.append(f"{logical_id} ({kind}: TLS only, which it does not speak)")
        elif kind in RECIPES:
            created.append(work.create(logical_id, body, has_changed=has_changed))
        elif logical_id not in made:
            impossible.append(f"{logical_id} ({kind})")
    return Replayed(tuple(created), tuple(completed), tuple(left), tuple(impossible), work.outputs())


def remove(stack: Stack, names: Names) -> None:
    """Delete what `replay` created, but not what the template retains."""
    with telling():
        template = stack.cloudformation.get_template(StackName=stack.name)["TemplateBody"]
    made = {resource.logical_id: resource for resource in stack.resources()}
    work = _Work(stack, names, load_template(template), made)
    for _, body in reversed(work.in_order()):
        if body["Type"] in RECIPES and body.get("DeletionPolicy") != "Retain":
            work.delete(body)


# ---- how each type is made ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How a resource is made by calls of its service.

    Attributes:
        create, read, delete: the names of the calls; read and delete are empty where there is no need.
        id: the property that names the resource, as a path with dots.
        arguments: turns properties of CloudFormation into arguments of the call; default: they are the same.
        handle: the argument of `read` and `delete` that names it.
    """

    service: str
    create: str
    id: str
    read: str = ""
    delete: str = ""
    handle: str = ""
    arguments: Callable[[Properties], Properties] = dict
    with_account: bool = False


def _workgroup(properties: Properties) -> Properties:
    kept = {name: properties[name] for name in ("Name", "Description") if name in properties}
    return kept | {"Configuration": properties.get("WorkGroupConfiguration", {})}


def _security(properties: Properties) -> Properties:
    # CloudFormation says S3Encryptions for what the call names S3Encryption.
    body = properties["EncryptionConfiguration"]
    renamed = {name.replace("S3Encryptions", "S3Encryption"): value for name, value in body.items()}
    return {"Name": properties["Name"], "EncryptionConfiguration": renamed}


def _trigger(properties: Properties) -> Properties:
    return {name: value for name, value in properties.items() if name != "Tags"}


def _bucket_policy(properties: Properties) -> Properties:
    return {"Bucket": properties["Bucket"], "Policy": _without_tls_only(properties["PolicyDocument"])}


def _without_tls_only(policy: Properties) -> Properties:
    """Return a policy without what it denies to those who don't speak TLS: the emulator doesn't."""
    kept = [
        statement
        for statement in policy["Statement"]
        if "aws:SecureTransport" not in statement.get("Condition", {}).get("Bool", {})
    ]
    return policy | {"Statement": kept}


def _database(properties: Properties) -> Properties:
    return {"DatabaseInput": properties["DatabaseInput"]}


RECIPES: Mapping[str, Recipe] = {
    "AWS::Glue::Database": Recipe(
        "glue", "create_database", "DatabaseInput.Name", "get_database", "delete_database", "Name", _database
    ),
    "AWS::Glue::SecurityConfiguration": Recipe(
        "glue",
        "create_security_configuration",
        "Name",
        "get_security_configuration",
        "delete_security_configuration",
        "Name",
        _security,
    ),
    "AWS::Glue::Job": Recipe("glue", "create_job", "Name", "get_job", "delete_job", "JobName"),
    "AWS::Glue::Trigger": Recipe(
        "glue", "create_trigger", "Name", "get_trigger", "delete_trigger", "Name", _trigger
    ),
    "AWS::Athena::WorkGroup": Recipe(
        "athena", "create_work_group", "Name", "get_work_group", "delete_work_group", "WorkGroup", _workgroup
    ),
    "AWS::Athena::NamedQuery": Recipe("athena", "create_named_query", "Name"),
    # These two calls put in place what they are given, whether it was there or not.
    "AWS::CloudWatch::Alarm": Recipe("cloudwatch", "put_metric_alarm", "AlarmName"),
    "AWS::S3::BucketPolicy": Recipe("s3", "put_bucket_policy", "Bucket", arguments=_bucket_policy),
    "AWS::Budgets::Budget": Recipe(
        "budgets",
        "create_budget",
        "Budget.BudgetName",
        "describe_budget",
        "delete_budget",
        "BudgetName",
        with_account=True,
    ),
}


class _Work:
    def __init__(
        self, stack: Stack, names: Names, template: dict[str, Any], made: Mapping[str, Resource]
    ) -> None:
        self._names, self._region = names, stack.region
        self._clients: dict[str, Any] = {}
        values = {
            name: body.get("Default") for name, body in template.get("Parameters", {}).items()
        } | stack.parameters()
        values |= {
            "AWS::AccountId": names.account,
            "AWS::Partition": "aws",
            "AWS::Region": stack.region,
            "AWS::StackId": stack.name,
            "AWS::StackName": stack.name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        # Ids that moto did not give out are names, which the template states.
        self._physical = {
            name: resource.physical_id for name, resource in made.items() if resource.physical_id
        }
        self._resolver = Resolver(template, values, self._physical, self._attribute)
        self._template = template
        for name, body in template["Resources"].items():
            if name not in self._physical and (recipe := RECIPES.get(body["Type"])):
                self._physical[name] = str(_at(self.properties(body), recipe.id))

    def in_order(self) -> list[tuple[str, dict[str, Any]]]:
        """Every resource whose condition holds, in the order of the recipes: what others need comes first."""
        rank = {kind: number for number, kind in enumerate(RECIPES)}
        return sorted(self._resolver.resources(), key=lambda item: rank.get(item[1]["Type"], -1))

    def properties(self, body: Mapping[str, Any]) -> Properties:
        return dict(self._resolver.value(body.get("Properties", {})))

    def has_statements(self, body: Mapping[str, Any]) -> bool:
        return bool(_without_tls_only(self.properties(body)["PolicyDocument"])["Statement"])

    def outputs(self) -> dict[str, str]:
        return {
            name: str(self._resolver.value(body["Value"]))
            for name, body in self._template.get("Outputs", {}).items()
            if "Condition" not in body or self._resolver.holds(body["Condition"])
        }

    def create(self, logical_id: str, body: Mapping[str, Any], *, has_changed: bool) -> Resource:
        recipe, properties = RECIPES[body["Type"]], self.properties(body)
        service = self._client(recipe.service)
        resource = Resource(logical_id, body["Type"], str(_at(properties, recipe.id)), "REPLAYED")
        if body["Type"] == "AWS::Athena::NamedQuery":
            return replace(resource, physical_id=_named_query(service, properties))
        arguments = recipe.arguments(properties) | self._account(recipe)
        arguments = as_told(service, recipe.create, arguments)
        if recipe.read and self._is_there(recipe, resource.physical_id):
            if not has_changed:
                return resource
            self.delete(body)
        with telling():
            getattr(service, recipe.create)(**arguments)
        return resource

    def _is_there(self, recipe: Recipe, id_: str) -> bool:
        service = self._client(recipe.service)
        try:
            with telling():
                found = getattr(service, recipe.read)(**{recipe.handle: id_}, **self._account(recipe))
        except FixData as err:
            if "NotFound" in error_code(err.__cause__):
                return False
            raise
        return len(found) > 1  # moto answers for a workgroup that is not there, with nothing in it

    def delete(self, body: Mapping[str, Any]) -> None:
        recipe = RECIPES[body["Type"]]
        if not recipe.delete:
            return
        service = self._client(recipe.service)
        handle = {recipe.handle: str(_at(self.properties(body), recipe.id))} | self._account(recipe)
        try:
            with telling():
                getattr(service, recipe.delete)(**handle)
        except FixData as err:
            if "NotFound" not in error_code(err.__cause__):
                raise

    def complete_bucket(self, bucket: str, properties: Properties) -> None:
        """Set what moto's CloudFormation forgets of a bucket."""
        s3 = self._client("s3")
        for name, call, argument, change in (
            ("VersioningConfiguration", "put_bucket_versioning", "VersioningConfiguration", dict),
            ("PublicAccessBlockConfiguration", "put_public_access_block", "", dict),
            ("LifecycleConfiguration", "put_bucket_lifecycle_configuration", "", _lifecycle),
            ("BucketEncryption", "put_bucket_encryption", "ServerSideEncryptionConfiguration", _encryption),
            ("OwnershipControls", "put_bucket_ownership_controls", "OwnershipControls", dict),
        ):
            if name in properties:
                arguments = {"Bucket": bucket, argument or name: change(properties[name])}
                with telling():
                    getattr(s3, call)(**as_told(s3, call, arguments))

    def complete_key(self, key: str, properties: Properties) -> None:
        """Set a key's policy as text: in the form that moto's CloudFormation keeps, moto can't read it."""
        kms = self._client("kms")
        policy = json.dumps(properties["KeyPolicy"])
        with telling():
            kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = client(service, self._region)
        return self._clients[service]

    def _account(self, recipe: Recipe) -> Properties:
        return {"AccountId": self._names.account} if recipe.with_account else {}

    def _attribute(self, logical_id: str, name: str) -> Any:
        """Return what Fn::GetAtt gives: the addresses that can be known from a name."""
        body = self._template["Resources"].get(logical_id)
        if body is None:
            raise FixSettings(f"The template refers to {logical_id}, which is not there.")
        id_, region, account = self._resolver.value({"Ref": logical_id}), self._region, self._names.account
        known = {
            ("AWS::S3::Bucket", "Arn"): f"arn:aws:s3:::{id_}",
            ("AWS::IAM::Role", "Arn"): f"arn:aws:iam::{account}:role/{id_}",
            ("AWS::Lambda::Function", "Arn"): f"arn:aws:lambda:{region}:{account}:function:{id_}",
            ("AWS::Events::Rule", "Arn"): f"arn:aws:events:{region}:{account}:rule/{id_}",
            ("AWS::Logs::LogGroup", "Arn"): f"arn:aws:logs:{region}:{account}:log-group:{id_}:*",
            ("AWS::KMS::Key", "Arn"): f"arn:aws:kms:{region}:{account}:key/{id_}",
            ("AWS::SNS::Topic", "TopicArn"): id_,
            ("AWS::SNS::Topic", "TopicName"): str(id_).rpartition(":")[2],
            ("AWS::SQS::Queue", "Arn"): f"arn:aws:sqs:{region}:{account}:{str(id_).rpartition('/')[2]}",
            ("AWS::SQS::Queue", "QueueName"): str(id_).rpartition("/")[2],
        }
        try:
            return known[body["Type"], name]
        except KeyError:
            raise FixSettings(f"The emulator does not know {logical_id}.{name} ({body['Type']}).") from None


def _named_query(athena: Any, properties: Properties) -> str:
    """Return the id of a named query, made where there is none: the service would take a second one."""
    with telling():
        for id_ in athena.list_named_queries(WorkGroup=properties["WorkGroup"])["NamedQueryIds"]:
            if athena.get_named_query(NamedQueryId=id_)["NamedQuery"]["Name"] == properties["Name"]:
                return str(id_)
        return str(athena.create_named_query(**properties)["NamedQueryId"])


# ---- forms -------------------------------------------------------------------------------------------------


def as_told(service: Any, call: str, arguments: Properties) -> Properties:
    """Return arguments in the types that the service's own description asks for: a template has texts."""
    operation = service.meta.method_to_api_mapping[call]
    return dict(_in_shape(service.meta.service_model.operation_model(operation).input_shape, arguments))


def _in_shape(shape: Any, value: Any) -> Any:
    kind = shape.type_name if shape is not None else ""
    if kind == "structure" and isinstance(value, Mapping):
        return {name: _in_shape(shape.members.get(name), item) for name, item in value.items()}
    if kind == "list" and isinstance(value, list):
        return [_in_shape(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, Mapping):
        return {str(name): _in_shape(shape.value, item) for name, item in value.items()}
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("double", "float"):
        return float(value)
    if kind == "boolean":
        return str(value).lower() == "true"
    if kind == "string":
        return _text(value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, Mapping | list) else str(value)


def _encryption(value: Properties) -> Properties:
    rules = value["ServerSideEncryptionConfiguration"]
    renamed = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}
    return {"Rules": [{renamed.get(name, name): item for name, item in rule.items()} for rule in rules]}


def _lifecycle(value: Properties) -> Properties:
    return {"Rules": [_lifecycle_rule(rule) for rule in value["Rules"]]}


def _lifecycle_rule(rule: Properties) -> Properties:
    """Return a rule as S3's own call wants it; CloudFormation has other names for the same."""
    made = {"ID": rule.get("Id", ""), "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    expiration = {
        ours: rule[theirs]
        for theirs, ours in (
            ("ExpirationInDays", "Days"),
            ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
        )
        if theirs in rule
    }
    if expiration:
        made["Expiration"] = expiration
    return made | {
        name: rule[name]
        for name in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration")
        if name in rule
    }


def _at(properties: Mapping[str, Any], path: str) -> Any:
    found: Any = properties
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if found is None:
        raise FixSettings(f"The emulator cannot name a resource without {path}.")
    return found
