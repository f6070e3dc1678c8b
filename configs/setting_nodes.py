"""The types of settings, from OmegaConf's nodes: which values they take, and what messages say that they expect."""

import re
from collections.abc import Mapping
from typing import Any, get_args

from omegaconf import BooleanNode, DictConfig, FloatNode, IntegerNode, ListConfig, OmegaConf
from omegaconf.base import UnionNode
from omegaconf.errors import OmegaConfBaseException

from beam_pipelines.common.checks import shown_value

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
# What lists of these types expect.
_LISTS: Mapping[Any, str] = {int: "expected a list of whole numbers", float: "expected a list of numbers"}


def node_of(config: DictConfig, key: str) -> Any:
    """Returns the node of a setting, which has its type; None if there is none."""
    *parents, name = key.split(".")
    parent = OmegaConf.select(config, ".".join(parents)) if parents else config
    return parent._get_node(name, validate_access=False) if isinstance(parent, DictConfig) else None


def expected_by(node: Any, value: Any) -> str | None:
    """Returns what a setting expects that refused a value; None where OmegaConf's message has no types of Python."""
    if isinstance(node, IntegerNode):
        return "expected a whole number"
    if isinstance(node, BooleanNode):
        return "expected true or false"
    if isinstance(node, ListConfig) and isinstance(value, list):
        return _LISTS.get(node._metadata.element_type)
    if not isinstance(node, FloatNode):
        return "expected a value that is not null" if value is None else None
    with_point = str(value).replace(",", ".")
    return f"expected a number: write {with_point}" if _DECIMAL_COMMA.fullmatch(str(value)) else "expected a number"


def value_of_union(node: UnionNode, value: Any) -> Any:
    """Returns a value of a setting of a text or another type; a text, which its dataclass checks, if it is of neither.

    Words such as "yes" are true and false, as in settings that are nothing else.
    """
    types = get_args(node._metadata.ref_type)
    if bool in types:
        try:
            return BooleanNode(value, is_optional=False)._value()
        except OmegaConfBaseException:
            return value if isinstance(value, str) else shown_value(value)
    return value if type(value) in types or node._is_optional() else shown_value(value)


def mapping_of(config: DictConfig, key: str) -> str | None:
    """Returns the setting that is a mapping with names of the user's, such as labels: the key, or the one above it."""
    for candidate in (key, key.rpartition(".")[0]):
        node = node_of(config, candidate)
        if isinstance(node, DictConfig) and is_mapping(node):
            return candidate
    return None


def is_mapping(node: DictConfig) -> bool:
    """Returns whether a node is a mapping with names of the user's, and not of settings."""
    return OmegaConf.get_type(node) is dict and node._metadata.element_type is str
