"""What a CloudFormation template comes to: its parameters, conditions and functions worked out.

Only for the emulator, which skips many resources: on AWS CloudFormation does this itself. Functions that it
does not know are refused by name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventmint.errors import FixSettings

_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")
_NOTHING = object()

Attributes = Callable[[str, str], Any]


def load_template(text: str) -> dict[str, Any]:
    """Return a template as plain data, short forms such as !Ref written out.

    Raises: FixSettings: PyYAML is missing, or the text is no template.
    """
    try:
        import yaml
    except ModuleNotFoundError as err:
        raise FixSettings("PyYAML is not installed.", "Install it with `pip install moto[server]`.") from err

    # Of our own: constructors belong to the class. In C where there is one: ten times as quick.
    loader_class: Any = type("Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})

    def written_out(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
            return {name: value.split(".", 1) if suffix == "GetAtt" else value}
        build = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
        return {name: build(node, deep=True)}

    loader_class.add_multi_constructor("!", written_out)
    # A date such as the version of the format stays text.
    loader_class.add_constructor(
        "tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node)
    )
    try:
        found = yaml.load(text, Loader=loader_class)  # noqa: S506 - a safe loader
    except yaml.YAMLError as err:
        raise FixSettings(f"The template cannot be read: {' '.join(str(err).split())}") from err
    if not isinstance(found, dict) or "Resources" not in found:
        raise FixSettings("The template has no Resources.")
    return found


@dataclass(frozen=True)
class Resolver:
    """Works out values of one template.

    Attributes:
        values: of the parameters and pseudo parameters, by name.
        physical: physical ids of the resources, by logical id.
        attribute: what Fn::GetAtt gives for a logical id and a name.
    """

    template: Mapping[str, Any]
    values: Mapping[str, Any]
    physical: Mapping[str, str]
    attribute: Attributes
    _conditions: dict[str, bool] = field(default_factory=dict)

    def resources(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every resource whose condition holds, its properties not worked out yet."""
        for name, body in self.template["Resources"].items():
            if "Condition" not in body or self.holds(body["Condition"]):
                yield name, body

    def holds(self, condition: str) -> bool:
        if condition not in self._conditions:
            try:
                self._conditions[condition] = bool(self.value(self.template["Conditions"][condition]))
            except KeyError:
                raise FixSettings(f"The template has no condition {condition}.") from None
        return self._conditions[condition]

    def value(self, node: Any) -> Any:
        """Return what a node of the template comes to; what is AWS::NoValue is left out."""
        found = self._value(node)
        return None if found is _NOTHING else found

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [item for item in map(self._value, node) if item is not _NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return self._call(name, argument)
        items = ((key, self._value(item)) for key, item in node.items())
        return {key: item for key, item in items if item is not _NOTHING}

    def _call(self, name: str, argument: Any) -> Any:
        known: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self.holds,
            "Fn::Sub": self._sub,
            "Fn::GetAtt": lambda pair: self.attribute(pair[0], self._value(pair[1])),
            "Fn::If": self._if,
            "Fn::Join": lambda pair: str(pair[0]).join(map(str, self._value(pair[1]))),
            "Fn::Split": lambda pair: str(self._value(pair[1])).split(pair[0]),
            "Fn::Select": lambda pair: self._value(pair[1])[int(self._value(pair[0]))],
            "Fn::Equals": lambda pair: str(self._value(pair[0])) == str(self._value(pair[1])),
            "Fn::Not": lambda items: not self._value(items[0]),
            "Fn::And": lambda items: all(self._value(item) for item in items),
            "Fn::Or": lambda items: any(self._value(item) for item in items),
            "Fn::FindInMap": self._in_map,
            "Fn::Base64": lambda text: base64.b64encode(str(self._value(text)).encode()).decode(),
            "Fn::ToJsonString": lambda value: json.dumps(self._value(value)),
        }
        if name not in known:
            raise FixSettings(f"The emulator does not know the template's function {name}.")
        return known[name](argument)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        for place in (self.values, self.physical):
            if name in place:
                return place[name]
        raise FixSettings(f"The template refers to {name}, which is not there.")

    def _sub(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})

        def filled(match: re.Match[str]) -> str:
            is_literal, name = match[1], match[2].strip()
            if is_literal:
                return f"${{{name}}}"
            if name in own:
                return str(self._value(own[name]))
            logical, _, attribute = name.partition(".")
            return str(self.attribute(logical, attribute) if attribute else self._ref(name))

        return _VARIABLE.sub(filled, text)

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self._value(then if self.holds(condition) else otherwise)

    def _in_map(self, argument: list[Any]) -> Any:
        name, first, second = (self._value(item) for item in argument[:3])
        return self._value(self.template["Mappings"][name][str(first)][str(second)])
