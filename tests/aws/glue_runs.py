"""Starts the job's script again and again in one Spark, as spark-submit starts this one: a JVM takes time.

Arguments: a file of steps, a file for what the ledger holds after each, then the job's own arguments. A step
is a list of objects to put into the source, and what the bookmark calls new.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

import boto3

import eventmint
from eventmint.storage.s3 import bucket_and_key

STEPS, FOUND, *ARGUMENTS = sys.argv[1:]
GIVEN = dict(zip(ARGUMENTS[::2], ARGUMENTS[1::2], strict=True))


def landed() -> list[str]:
    lake = eventmint.open_lake(
        lake__root=GIVEN["--lake"], lake__database="", aws__id=GIVEN["--deployment-id"]
    )
    return sorted(entry.path for entry in lake.ledger().entries)


found = []
sys.argv = [str(Path(__file__).with_name("glue_job.py")), *ARGUMENTS]
for step in json.loads(Path(STEPS).read_text(encoding="utf-8")):
    for place, body in step["put"].items():
        bucket, key = bucket_and_key(place)
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=bytes.fromhex(body))
    os.environ["NEW_FILES"] = json.dumps(step["new"])
    runpy.run_path(sys.argv[0], run_name="__main__")
    found.append(landed())
Path(FOUND).write_text(json.dumps(found), encoding="utf-8")
