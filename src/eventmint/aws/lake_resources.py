"""The lake's part of the template: databases, Iceberg tables, optimizers, questions, made from the contracts.

A table made by the stack is the table that the pipeline would make: same field ids, types and required flags,
same partition field, same properties, same location. The pipeline refuses any other. Only the comments of the
columns are shorter: their first clause, for a template has 51,200 bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from eventmint.contracts import ANSWERS, TABLES, Column, Contract, contract

# As tables/catalog.py sets them, less the format version, which has a place of its own in the template.
TABLE_PROPERTIES = {
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "write.metadata.metrics.default": "counts",
}

# What people ask: every line, every event, the five answers. The ledger, the building blocks and the records
# of the runs are made by the pipeline's first run: there is no room for them here.
MADE = ("bronze.events", "silver.events_cleaned", *(f"gold.{name}" for name in ANSWERS))
# Where one small file comes with every source file or run. Gold's days are replaced whole and stay few.
OPTIMIZED = ("bronze.events", "silver.events_cleaned")
# The pipeline reads snapshots back to the last batch that each table includes: far less than these.
RETENTION_DAYS = 7
SNAPSHOTS_KEPT = 50


# Letters to begin with, and nothing that YAML reads as its own inside flow style.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_()/=. -]*[A-Za-z0-9_)]")


def logical_id(text: str) -> str:
    """A name in the template: `bronze.ingested_files` becomes BronzeIngestedFiles."""
    return "".join(word.capitalize() for word in text.replace(".", "_").split("_"))


def databases() -> str:
    return "\n".join(_database(schema) for schema in TABLES)


def _database(schema: str) -> str:
    return f"""\
{logical_id(schema)}Database:
  Type: AWS::Glue::Database
  DeletionPolicy: Retain
  UpdateReplacePolicy: Retain
  Properties:
    CatalogId: !Ref AWS::AccountId
    DatabaseInput: {{Name: !Join [_, [{schema}, !Join [_, !Split ['-', !Ref StudentId]]]], \
LocationUri: !Sub 's3://${{AnalyticsBucket}}/lake/{schema}'}}"""


def tables() -> str:
    return "\n".join(_table(contract(table)) for table in MADE)


def _table(table: Contract) -> str:
    bounds = {f"write.metadata.metrics.column.{name}": "full" for name in table.bounds}
    properties = {**TABLE_PROPERTIES, **bounds, "comment": table.grain}
    database = f"{logical_id(table.schema)}Database"
    place = (
        f"{{CatalogId: !Ref AWS::AccountId, DatabaseName: !Ref {database}, Name: {table.name}, "
        "OpenTableFormatInput: {IcebergInput: {MetadataOperation: CREATE, Version: '2', IcebergTableInput: {"
    )
    lines = [
        f"{logical_id(table.table)}:",
        "  Type: AWS::Glue::Table",
        "  Condition: MakeTables",
        "  DeletionPolicy: Retain",
        "  UpdateReplacePolicy: Retain",
        f"  Properties: {place}",
        f"    Location: !Sub 's3://${{AnalyticsBucket}}/lake/{table.schema}/{table.name}',",
        f"    Properties: {_flow(properties)},",
        *_partition_spec(table),
        "    Schema: {Type: struct, Fields: [",
        *map(_field, table.columns),
        "    ]}}}}}",
    ]
    return "\n".join(lines)


def _field(column: Column) -> str:
    kind, required, doc = _scalar(column.type), _scalar(column.required), _scalar(column.doc.split(";")[0])
    return f"    {{Id: {column.id}, Name: {column.name}, Type: {kind}, Required: {required}, Doc: {doc}}},"


def _partition_spec(table: Contract) -> Iterator[str]:
    if not table.partition:
        return
    by_day = table.partition.startswith("day(")
    name = table.partition.removeprefix("day(").rstrip(")")
    source = next(column.id for column in table.columns if column.name == name)
    transform, field = ("day", f"{name}_day") if by_day else ("identity", name)
    yield (
        f"    PartitionSpec: {{Fields: [{{SourceId: {source}, FieldId: 1000, Transform: {transform}, "
        f"Name: {field}}}]}},"
    )


def optimizers() -> str:
    snapshots = (
        f"{{SnapshotRetentionPeriodInDays: {RETENTION_DAYS}, NumberOfSnapshotsToRetain: {SNAPSHOTS_KEPT}, "
        "CleanExpiredFiles: true}"
    )
    kinds = {
        "compaction": "",
        "retention": f", RetentionConfiguration: {{IcebergConfiguration: {snapshots}}}",
        "orphan_file_deletion": ", OrphanFileDeletionConfiguration: {IcebergConfiguration: "
        f"{{OrphanFileRetentionPeriodInDays: {RETENTION_DAYS}}}}}",
    }
    return "\n".join(_optimizer(contract(table), kind, kinds[kind]) for table in OPTIMIZED for kind in kinds)


def _optimizer(table: Contract, kind: str, configuration: str) -> str:
    return f"""\
{logical_id(table.table)}{logical_id(kind)}:
  Type: AWS::Glue::TableOptimizer
  Condition: Optimize
  DependsOn: {logical_id(table.table)}
  Properties: {{CatalogId: !Ref AWS::AccountId, DatabaseName: !Ref {logical_id(table.schema)}Database, \
TableName: {table.name}, Type: {kind}, TableOptimizerConfiguration: {{Enabled: true, \
RoleArn: !If [MakeRoles, !GetAtt OptimizerRole.Arn, !Ref ExistingRoleArn]{configuration}}}}}"""


def catalog_arns() -> str:
    """The catalog, the four databases and every table in them: Glue asks for the parents too."""
    arns = [_arn("catalog")]
    for schema in TABLES:
        database = f"${{{logical_id(schema)}Database}}"
        arns += [_arn(f"database/{database}"), _arn(f"table/{database}/*")]
    return ", ".join(arns)


def optimized_arns() -> str:
    optimized = [contract(table) for table in OPTIMIZED]
    databases = dict.fromkeys(f"${{{logical_id(table.schema)}Database}}" for table in optimized)
    tables = [f"${{{logical_id(table.schema)}Database}}/{table.name}" for table in optimized]
    arns = ["catalog", *(f"database/{name}" for name in databases), *(f"table/{name}" for name in tables)]
    return ", ".join(map(_arn, arns))


def _arn(what: str) -> str:
    return f"!Sub 'arn:aws:glue:${{AWS::Region}}:${{AWS::AccountId}}:{what}'"


def queries(text: str) -> str:
    """The five questions of queries.sql, each as a named query of the workgroup."""
    statements = [part.strip() for part in text.split(";") if part.strip()]
    named = zip(ANSWERS, statements, strict=True)
    return "\n".join(_query(name, statement) for name, statement in named)


def _query(name: str, statement: str) -> str:
    question = next(line for line in statement.splitlines() if line.startswith("-- ") and line[3].isdigit())
    lines = [line for line in statement.splitlines() if not line.startswith("--") and line]
    head = [
        f"Ask{logical_id(name)}:",
        "  Type: AWS::Athena::NamedQuery",
        "  Properties:",
        f"    Name: {name}",
        f"    Description: {_scalar(question.split(': ', 1)[1])}",
        "    Database: !Ref GoldDatabase",
        "    WorkGroup: !Ref Workgroup",
        "    QueryString: |",
    ]
    # The template halves every indentation; the text of a query is to stay as it is.
    kept = (" " * (len(line) - len(line.lstrip())) + line for line in lines)
    return "\n".join([*head, *(f"      {line}" for line in kept)])


def _flow(mapping: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in mapping.items()) + "}"


def _scalar(value: str | bool) -> str:
    """A YAML scalar that stays what it is: text that could be taken for something else is quoted."""
    if isinstance(value, bool):
        return json.dumps(value)
    is_plain = _PLAIN.fullmatch(value) and value not in ("true", "false", "null")
    return value if is_plain else "'" + value.replace("'", "''") + "'"
