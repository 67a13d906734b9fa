"""What is said in two places must be the same in both: statements, codes, keys, commands."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields

import click
import pytest

import tq.main
import tq.refusals
import tqnode.__main__
import tqnode.errors
from tests.source_tree import ROOT, files, sources
from tqnode.config import Config


def test_every_sql_statement_is_used_and_every_used_name_exists() -> None:
    scripts = [path for path in files() if path.match("tqnode/sql/*.sql")]
    headers = [re.findall(r"^-- name: (\w+)$", (ROOT / path).read_text(), re.MULTILINE) for path in scripts]
    named = [name for header in headers for name in header]
    assert named
    assert len(named) == len(set(named))
    calls = [
        node.args[0].value
        for source in sources("tqnode")
        for node in source.nodes
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("statement")
        and isinstance(node.args[0], ast.Constant)
    ]
    assert set(calls) - set(named) == set()
    texts = {str(node.value) for source in sources("tqnode") for node in source.texts}
    assert set(named) - texts == set()


def subclasses(root: type) -> set[type]:
    children: list[type] = root.__subclasses__()
    return {root, *(found for child in children for found in subclasses(child))}


def written_codes() -> Iterator[str]:
    """The finer codes of the server's calls: ``code="too_deep"``, ``NotFound("task", id)``."""
    calls = (node for source in sources("tqnode") for node in source.nodes if isinstance(node, ast.Call))
    for call in calls:
        if ast.unparse(call.func) == "NotFound" and isinstance(call.args[0], ast.Constant):
            yield f"{call.args[0].value!s}_not_found"
        for keyword in call.keywords:
            if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                yield str(keyword.value.value)


def test_every_error_code_of_the_server_has_a_class_in_the_sdk() -> None:
    own = (vars(error).get("code") for error in subclasses(tqnode.errors.TqnodeError))
    codes = {str(code) for code in own if code} | set(written_codes())
    assert len(codes) > 10
    assert codes - set(tq.refusals.CODES) == set()


def test_every_configuration_key_is_documented() -> None:
    documents = [path for path in files() if path.match("web/tqweb/docs/*.md")]
    assert documents
    text = "\n".join((ROOT / path).read_text() for path in documents)
    assert {field.name for field in fields(Config) if f"`{field.name}`" not in text} == set()


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """The command and all below it, with the words that call each."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for word in command.list_commands(context):
            child = command.get_command(context, word)
            assert child is not None, f"{name} {word} is listed but not there"
            yield from commands(child, f"{name} {word}")


def undocumented(name: str, command: click.Command) -> Iterator[str]:
    if not (command.help or "").strip():
        yield f"{name} has no help"
    with click.Context(command, info_name=name) as context:
        options = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    for option in options:
        if not (option.help or "").strip() and not option.hidden:
            yield f"{name} {option.opts[0]} has no help"


@pytest.mark.parametrize(("name", "root"), [("tq", tq.main.cli), ("tqnode", tqnode.__main__.main)])
def test_every_command_and_option_says_what_it_does(name: str, root: click.Group) -> None:
    tree = list(commands(root, name))
    assert len(tree) > len(root.commands)
    assert [gap for path, command in tree for gap in undocumented(path, command)] == []


def test_every_command_of_tq_shows_an_example_of_itself() -> None:
    def shown(name: str, command: click.Command) -> str:
        with click.Context(command, info_name=name) as context:
            return command.get_help(context).partition("Examples")[2]

    tree = list(commands(tq.main.cli, "tq"))
    assert [name for name, command in tree if name not in shown(name, command)] == []


def test_the_list_of_commands_says_what_each_command_says_of_itself() -> None:
    context = click.Context(tq.main.cli, info_name="tq")
    for name, entry in tq.main.COMMANDS.items():
        command = tq.main.cli.get_command(context, name)
        assert command is not None
        assert (command.help or "").strip().partition("\n")[0] == entry.does
