"""The safety argument names what is in the code, or it is not kept true."""

import re
from importlib import import_module
from pathlib import Path

from tqnode import replication
from tqnode.replication import effects, entry, events, heads, messages, rules, state

MODULES = ("rules", "election", "shipping", "following", "handover", "turn", "step")
DESIGN = (Path(replication.__file__).parent / "DESIGN.md").read_text()


def named(pattern: str) -> set[tuple[str, str]]:
    return set(re.findall(rf"`{pattern}`", DESIGN))


def test_each_function_that_the_safety_argument_names_is_there() -> None:
    functions = named(rf"({'|'.join(MODULES)})\.(?!py)(\w+)")
    assert len(functions) > 20
    missing = {
        (module, name)
        for module, name in functions
        if not callable(getattr(import_module(f"tqnode.replication.{module}"), name, None))
    }
    assert missing == {("rules", "name")}, "which stands for any of them"


def test_each_field_that_the_safety_argument_names_is_there() -> None:
    structs = {
        struct.__name__: struct
        for module in (effects, entry, events, heads, messages, state)
        for struct in vars(module).values()
        if isinstance(struct, type)
    }
    fields = named(r"([A-Z]\w+)\.(\w+)")
    assert len(fields) > 8
    assert {field for field in fields if not hasattr(structs.get(field[0]), field[1])} == set()


def test_each_rule_is_explained() -> None:
    own = {name for name, rule in vars(rules).items() if getattr(rule, "__module__", "") == rules.__name__}
    explained = {name for _, name in named(r"(rules)\.(\w+)")}
    assert own - explained == {"reached_by_majority", "missing"}, "what the rules are made of"
