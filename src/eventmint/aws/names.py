"""Names on AWS: every resource of a stack is named by the deployment's id and the account, nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eventmint.contracts import database_name

# As the parameter StudentId of the template allows: bucket names take no more.
ID_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?"
_ID = re.compile(ID_PATTERN)


def is_id(text: str) -> bool:
    """Whether a text can name a deployment: 1 to 20 lower-case letters, digits and inner hyphens."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class Names:
    """The names of one deployment.

    Attributes:
        id: what tells deployments in one account apart.
        account: the account's twelve digits.
    """

    id: str
    account: str

    @property
    def stack(self) -> str:
        return f"capstone-{self.id}"

    @property
    def source_bucket(self) -> str:
        return f"capstone-events-{self.id}-{self.account}"

    @property
    def analytics_bucket(self) -> str:
        return f"capstone-analytics-{self.id}-{self.account}"

    @property
    def log_bucket(self) -> str:
        """Where the other two log who read and wrote."""
        return f"capstone-logs-{self.id}-{self.account}"

    @property
    def source(self) -> str:
        """Where the Lambda puts the events."""
        return f"s3://{self.source_bucket}/events/"

    @property
    def lake(self) -> str:
        """Where the tables lie."""
        return f"s3://{self.analytics_bucket}/lake"

    @property
    def artifacts(self) -> str:
        """Where the job's script and wheels lie, under content-addressed names."""
        return f"s3://{self.analytics_bucket}/artifacts"

    @property
    def athena_results(self) -> str:
        return f"s3://{self.analytics_bucket}/athena-results/"

    @property
    def generator(self) -> str:
        """The Lambda function."""
        return f"capstone-event-generator-{self.id}"

    @property
    def job(self) -> str:
        """The Glue job."""
        return f"capstone-etl-{self.id}"

    @property
    def workgroup(self) -> str:
        """The Athena workgroup."""
        return f"capstone-analytics-{self.id}"

    def database(self, schema: str) -> str:
        """The Glue database of a schema: bronze, silver, gold or ops."""
        return database_name(schema, self.id)
