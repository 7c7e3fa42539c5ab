"""Why each role of the stack may do what it may: every IAM action, with the call that needs it.

A test holds this table and the template to each other, both ways. `docs/aws-permissions.md` is made from it.
"""

# ruff: noqa: E501 - a row of the page is a line

from __future__ import annotations

# By who acts (the part of the template that grants it), then by action: the call that fails without it.
PERMISSIONS: dict[str, dict[str, str]] = {
    "GeneratorRole": {
        "s3:PutObject": "the handler's put_object of the file, below events/ alone",
        "kms:GenerateDataKey": "S3 encrypts that file, and SQS a dead letter, in the role's name",
        "kms:Decrypt": "Lambda decrypts the function's environment in the role's name; SQS asks for it when a message is sent",
        "logs:CreateLogStream": "Lambda opens a log stream for each sandbox",
        "logs:PutLogEvents": "Lambda writes the handler's print and the report of each call",
        "sqs:SendMessage": "Lambda puts an event that failed for good into the dead-letter queue",
    },
    "JobRole": {
        "s3:GetObject": "reads source files, Parquet and Iceberg metadata; Glue fetches script, wheel and requirements.txt",
        "s3:PutObject": "writes Parquet, Iceberg metadata, the lock lake/.lock, lake/.scratch/, lake/published/ and Glue's --TempDir",
        "s3:DeleteObject": "trims files that no kept snapshot names, frees the lock, empties lake/.scratch/",
        "s3:AbortMultipartUpload": "the S3 writer gives up a large Parquet file that it could not finish",
        "s3:ListBucket": "lists new source files (pipeline, and Glue's bookmark filter); head_object says 404, not 403",
        "s3:GetBucketLocation": "Glue's and Arrow's S3 clients ask for the region of a bucket",
        "kms:Decrypt": "S3 decrypts what the job reads; the bookmark is decrypted (client-side, CSE-KMS)",
        "kms:Encrypt": "the bookmark is encrypted (client-side, CSE-KMS)",
        "kms:GenerateDataKey": "S3 encrypts what the job writes",
        "glue:GetDatabase": "GlueCatalog.create_table reads the database: where it lies, and whether it is one of S3 Tables",
        "glue:CreateDatabase": "GlueCatalog.create_namespace_if_not_exists calls it first, even where the database is there",
        "glue:GetTable": "GlueCatalog.load_table and table_exists, before and after each commit",
        "glue:CreateTable": "GlueCatalog.create_table, for what the stack left out",
        "glue:UpdateTable": "GlueCatalog.commit_table: a commit points the table at its new metadata",
        "logs:CreateLogGroup": "Glue makes the log group of a run where it finds none of that name",
        "logs:CreateLogStream": "Glue opens a log stream for the driver and each executor",
        "logs:PutLogEvents": "Glue writes the logs of driver and executors",
        "logs:AssociateKmsKey": "Glue ties the key of the security configuration to the log group",
        "cloudwatch:PutMetricData": "the figures of a run (namespace eventmint); Glue's own metrics (Glue)",
    },
    "OptimizerRole": {
        "s3:GetObject": "Glue's optimizers read the data and metadata of the two large tables",
        "s3:PutObject": "compaction writes larger files; compaction and retention write new metadata",
        "s3:DeleteObject": "retention and orphan file deletion remove what nothing names any more",
        "s3:ListBucket": "orphan file deletion compares what lies there with what the table names",
        "kms:Decrypt": "S3 decrypts what they read",
        "kms:GenerateDataKey": "S3 encrypts what they write",
        "glue:GetTable": "where the table's metadata lies",
        "glue:UpdateTable": "commits of compaction and retention",
        "logs:CreateLogGroup": "the first run of an optimizer makes its group /aws-glue/iceberg-...",
        "logs:CreateLogStream": "a stream for each run",
        "logs:PutLogEvents": "what each run did",
    },
    "Key": {
        "kms:*": "the account's root, so that the key can be managed and IAM policies count; in a key's policy * is that key",
        "kms:Encrypt": "CloudWatch Logs, for the log groups of this account; a given role, for the bookmark",
        "kms:Decrypt": "CloudWatch Logs reads logs; CloudWatch and EventBridge publish to the encrypted topic and queue; a given role reads data",
        "kms:GenerateDataKey": "the same three, to write",
        "kms:ReEncryptFrom": "CloudWatch Logs, when the key's material is rotated",
        "kms:ReEncryptTo": "CloudWatch Logs, when the key's material is rotated",
        "kms:DescribeKey": "CloudWatch Logs, when the key is tied to a log group",
    },
    "LogBucketPolicy": {"s3:PutObject": "S3's log delivery puts access logs of this account's buckets"},
    "DeadLettersPolicy": {
        "sqs:SendMessage": "EventBridge puts an event that it could not deliver to the function"
    },
    "AlertsPolicy": {"sns:Publish": "CloudWatch tells of alarms, EventBridge of a job run that died"},
    "GeneratorPermission": {"lambda:InvokeFunction": "EventBridge calls the function every five minutes"},
}

_HEAD = """\
# What the stack may do, and why

Made from `src/eventmint/aws/permissions.py` by `python -m eventmint.aws.template`; a test holds it to the template:
each action granted there has its line here, and each line here is granted there.

No role has a wildcard action, and none has `*` as its resource, with one exception: IAM knows no resource for
`cloudwatch:PutMetricData`, so there the namespaces `eventmint` and `Glue` are the bound (resource `JobMetrics`).
The key's own policy says `*` and `kms:*` for the account's root, as AWS writes it: in a key's policy `*` is that key.

The calls are known from the code and from AWS's documentation. That nothing is missing can only be seen on a real
account: a call that lacks its permission fails there with AccessDenied and names the action.
"""


def page() -> str:
    """Return docs/aws-permissions.md."""
    parts = [_HEAD]
    for holder, actions in PERMISSIONS.items():
        rows = "\n".join(f"| `{action}` | {call} |" for action, call in actions.items())
        parts.append(f"## {holder}\n\n| action | the call that needs it |\n|---|---|\n{rows}\n")
    return "\n".join(parts)
