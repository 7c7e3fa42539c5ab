"""What functions of a template come to, as CloudFormation's own documentation says."""

from __future__ import annotations

from typing import Any

import pytest

from eventmint.aws.intrinsics import Resolver, load_template
from eventmint.errors import FixSettings

TEMPLATE = """
AWSTemplateFormatVersion: 2010-09-09
Mappings: {Sizes: {small: {workers: 2}, large: {workers: 9}}}
Conditions:
  IsTest: !Equals [!Ref Stage, test]
  IsLive: !Not [!Condition IsTest]
  Both: !And [!Condition IsTest, !Condition IsLive]
  Either: !Or [!Condition IsTest, !Condition IsLive]
Resources:
  Bucket: {Type: AWS::S3::Bucket}
  Hidden: {Type: AWS::S3::Bucket, Condition: IsLive}
  Shown: {Type: AWS::S3::Bucket, Condition: Either}
"""


def resolver() -> Resolver:
    return Resolver(
        load_template(TEMPLATE),
        {"Stage": "test", "Count": 3, "AWS::Region": "eu-central-1"},
        {"Bucket": "my-bucket"},
        lambda logical, name: f"<{logical}.{name}>",
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("!Ref Stage", "test"),
        ("!Ref Count", 3),
        ("!Ref Bucket", "my-bucket"),
        ("!Ref AWS::Region", "eu-central-1"),
        ("!GetAtt Bucket.Arn", "<Bucket.Arn>"),
        ("!GetAtt [Bucket, Arn]", "<Bucket.Arn>"),
        ("!Sub 's3://${Bucket}/${Stage}/${!kept}/${Bucket.Arn}'", "s3://my-bucket/test/${kept}/<Bucket.Arn>"),
        ("!Sub ['${a}-${Count}', {a: !Ref Stage}]", "test-3"),
        ("!Join ['_', [gold, !Join ['_', !Split ['-', a-b]]]]", "gold_a_b"),
        ("!Select [1, !Split [',', 'a,b,c']]", "b"),
        ("!If [IsTest, !Ref Stage, no]", "test"),
        ("!If [IsLive, yes, {a: !Ref Stage}]", {"a": "test"}),
        ("!FindInMap [Sizes, small, workers]", 2),
        ("[1, !Ref AWS::NoValue, {a: !If [IsLive, 1, !Ref AWS::NoValue], b: 2}]", [1, {"b": 2}]),
        ("!Base64 ab", "YWI="),
        ("{Ref: Stage}", "test"),
        ("{'Fn::Join': [a, [1, 2]]}", "1a2"),
        ("{Ref: Stage, Other: 1}", {"Ref": "Stage", "Other": 1}),
        ("2012-10-17", "2012-10-17"),
        ("{Bool: {'aws:SecureTransport': false}}", {"Bool": {"aws:SecureTransport": False}}),
    ],
)
def test_a_node_comes_to_its_value(written: str, value: Any) -> None:
    node = load_template(f"Resources: {{}}\nNode: {written}\n")["Node"]
    assert resolver().value(node) == value


def test_a_resource_whose_condition_does_not_hold_is_left_out() -> None:
    assert [name for name, _ in resolver().resources()] == ["Bucket", "Shown"]
    assert [resolver().holds(name) for name in ("IsTest", "IsLive", "Both", "Either")] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("!Ref Nowhere", "refers to Nowhere"),
        ("!ImportValue x", "does not know the template's function Fn::ImportValue"),
        ("!If [Never, 1, 2]", "has no condition Never"),
    ],
)
def test_what_cannot_be_worked_out_is_told(written: str, words: str) -> None:
    node = load_template(f"Resources: {{}}\nNode: {written}\n")["Node"]
    with pytest.raises(FixSettings, match=words):
        resolver().value(node)


@pytest.mark.parametrize("text", ["a: [", "just text", "{}"])
def test_what_is_no_template_is_told(text: str) -> None:
    with pytest.raises(FixSettings, match="The template"):
        load_template(text)
