"""Where a run works: with `run.target = "aws"` the stack of `aws.id` takes the place of folders.

What is published of it on this machine has a file of its own: `analytics-<id>.duckdb`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from eventmint.aws.names import Names, is_id
from eventmint.config import Settings
from eventmint.errors import FixSettings
from eventmint.storage.session import account_id


def names_of(settings: Settings) -> Names:
    """Return the names of the deployment that the settings mean.

    The account is `aws.account`, else that of the credentials in use.

    Raises: FixSettings: no id, one that cannot name buckets, or no credentials.
    """
    if not settings.aws.id:
        raise FixSettings(
            "Which deployment? `aws.id` is empty.", "Set it in eventmint.toml, or give --id NAME."
        )
    if not is_id(settings.aws.id):
        raise FixSettings(
            f"{settings.origins.get('aws.id', 'aws.id')}: `{settings.aws.id}` cannot name a deployment.",
            "Use 1 to 20 lower-case letters, digits and inner hyphens.",
        )
    return Names(settings.aws.id, settings.aws.account or account_id(settings.aws.region))


def settings_on_aws(settings: Settings) -> Settings:
    """Return settings whose source and lake are those of the stack, where the target is aws."""
    if settings.run.target != "aws":
        return settings
    names = names_of(settings)
    database = settings.lake.database and _beside(Path(settings.lake.database), names.id)
    return dataclasses.replace(
        settings,
        source=dataclasses.replace(settings.source, path=names.source),
        lake=dataclasses.replace(settings.lake, root=names.lake, database=database),
        aws=dataclasses.replace(settings.aws, account=names.account),
    )


def _beside(database: Path, deployment: str) -> str:
    return str(database.with_name(f"{database.stem}-{deployment}{database.suffix}"))
