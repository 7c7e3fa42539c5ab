"""The gates of the CloudFormation template: its size, cfn-lint, checkov and Guard. Run by .ci/gates.

Guard's rules come from two places: the public registry, as far as a package ships its text (S3 and IAM), and
.ci/rules.guard. A rule that finds nothing to judge says SKIP: each named rule must say PASS.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from cfn_guard_rs.cfn_guard_rs import run_checks_rs
from cfnlint.decode import decode

MOST_BYTES = 51_200  # what --template-body file:// takes
MOST_SKIPS = 3
REGISTRY = ("awslabs.aws-iac-mcp-server", "awslabs/aws_iac_mcp_server/data/default_guard_rules.guard")
OWN_RULES = Path(__file__).parent / "rules.guard"
NAMED_RULES = (
    "S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED",
    "S3_BUCKET_SSL_REQUESTS_ONLY",
    "S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED",
    "S3_DEFAULT_ENCRYPTION_KMS",
    "S3_BUCKET_VERSIONING_ENABLED",
    "S3_BUCKET_LOGGING_ENABLED",
    "S3_BUCKET_POLICY_NO_WILDCARD_ACTION",
    "S3_BUCKET_POLICY_NO_WILDCARD_PRINCIPAL",
    "IAM_POLICY_NO_STATEMENTS_WITH_ADMIN_ACCESS",
    "IAM_POLICY_NO_STATEMENTS_WITH_FULL_ACCESS",
    "IAM_POLICYDOCUMENT_NO_WILDCARD_RESOURCE",
    "IAM_POLICY_NO_WILDCARD_RESOURCE_ON_PASSROLE",
    "LAMBDA_CONCURRENCY_CHECK",
    "LAMBDA_DLQ_CHECK",
    "LAMBDA_FUNCTION_PUBLIC_ACCESS_PROHIBITED",
    "CLOUDWATCH_LOG_GROUP_ENCRYPTED",
    "CW_LOGGROUP_RETENTION_PERIOD_CHECK",
)
# The registry's file is many rule files one after the other; each begins with this banner.
_BANNER = re.compile(r"^#{37}\n## +(?:Gherkin|AWS Solutions) +##$", re.MULTILINE)
_RULE = re.compile(r"^rule (\w+)", re.MULTILINE)


def main(template: Path) -> int:
    template_json, _ = decode(str(template))
    problems = [
        *size(template),
        *cfn_lint(template),
        *checkov(template),
        *guard(json.loads(json.dumps(template_json, default=str))),
    ]
    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0


def size(template: Path) -> Iterator[str]:
    found = template.stat().st_size
    print(f"size     {found:,} of at most {MOST_BYTES:,} bytes")
    if found > MOST_BYTES:
        yield f"{found - MOST_BYTES:,} bytes too many"


def cfn_lint(template: Path) -> Iterator[str]:
    done = _run("cfn-lint", "--format", "json", str(template))
    found = json.loads(done.stdout)
    levels = Counter(match["Level"] for match in found)
    print(f"cfn-lint {levels['Error']} errors, {levels['Warning']} warnings")
    yield from (f"{match['Rule']['Id']} {match['Message']}" for match in found)
    if done.returncode and not found:
        yield f"cfn-lint ended with {done.returncode}: {done.stderr.strip()}"


def checkov(template: Path) -> Iterator[str]:
    done = _run(
        *("checkov", "--file", str(template), "--framework", "cloudformation"),
        *("--output", "json", "--skip-download"),
    )
    report = json.loads(done.stdout)
    summary, results = report["summary"], report["results"]
    skipped = results["skipped_checks"]
    print(f"checkov  {summary['passed']} passed, {summary['failed']} failed, {len(skipped)} skipped")
    if not summary["passed"]:
        yield "checkov judged nothing"
    for check in results["failed_checks"]:
        yield f"{check['check_id']} {check['resource']}: {check['check_name']}"
    if len(skipped) > MOST_SKIPS:
        yield f"{len(skipped)} skips; at most {MOST_SKIPS}"
    for check in skipped:
        reason = check["check_result"].get("suppress_comment") or ""
        print(f"         {check['check_id']} {check['resource']}: {reason}")
        if len(reason.split()) < 5:  # noqa: PLR2004 - a reason is a sentence
            yield f"{check['check_id']}: skipped without a reason"


def guard(template: dict[str, Any]) -> Iterator[str]:
    text = Path(str(distribution(REGISTRY[0]).locate_file(REGISTRY[1]))).read_text(encoding="utf-8")
    registry = [rules for rules in _BANNER.split(text)[1:] if set(_RULE.findall(rules)) & set(NAMED_RULES)]
    head, *own = re.split(r"^(?=rule )", OWN_RULES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    template = template | {"Resources": as_by_default(template, template["Resources"])}
    by_registry, by_us = verdicts(template, registry), verdicts(template, [head + rule for rule in own])
    if both := by_registry.keys() & by_us.keys():
        yield f"a package ships these, so .ci/rules.guard must not: {', '.join(sorted(both))}"
    found = by_us | by_registry
    asked = dict.fromkeys([*NAMED_RULES, *by_us])
    passed = [name for name in asked if found.get(name) == "PASS"]
    print(f"guard    {len(passed)} of {len(asked)} rules PASS, {len(by_registry)} of them the registry's")
    yield from (f"{name}: {found.get(name, 'no such rule')}" for name in asked if name not in passed)


def as_by_default(template: dict[str, Any], value: Any) -> Any:
    """Return a part of the template as a stack with every default has it: Guard cannot look behind Fn::If."""
    match value:
        case {"Ref": str(name)} if name in template["Parameters"]:
            return template["Parameters"][name].get("Default")
        case {"Fn::If": [name, then, otherwise]}:
            return as_by_default(template, then if holds(template, {"Condition": name}) else otherwise)
        case dict():
            return {key: as_by_default(template, item) for key, item in value.items()}
        case list():
            return [as_by_default(template, item) for item in value]
    return value


def holds(template: dict[str, Any], condition: dict[str, Any]) -> bool:
    """Whether a condition of the template holds where every parameter has its default."""
    match condition:
        case {"Condition": str(name)}:
            return holds(template, template["Conditions"][name])
        case {"Fn::Equals": sides}:
            left, right = (str(as_by_default(template, side)) for side in sides)
            return left == right
        case {"Fn::Not": [inner]}:
            return not holds(template, inner)
        case {"Fn::And": parts}:
            return all(holds(template, part) for part in parts)
    raise ValueError(condition)


def verdicts(template: dict[str, Any], rule_files: list[str]) -> dict[str, str]:
    """Return PASS, FAIL or SKIP by rule."""
    found: dict[str, str] = {}
    for rules in rule_files:
        raw = run_checks_rs(json.dumps(template), rules, False)  # noqa: FBT003 - it takes no names
        try:
            report = json.loads(raw)
        except json.JSONDecodeError:
            # The binding cuts off long reports, and only a failing rule has one.
            found |= dict.fromkeys(_RULE.findall(rules), "FAIL")
            continue
        found |= dict.fromkeys(report["compliant"], "PASS") | dict.fromkeys(report["not_applicable"], "SKIP")
        found |= {rule["Rule"]["name"]: "FAIL" for rule in report["not_compliant"]}
    return found


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = Path(sys.executable).parent / program
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - our own programs


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
