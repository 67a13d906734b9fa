"""The house rules that a machine can check. Each proves on an example that it sees what it forbids."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.source_tree import ROOT, Function, Source, files, sources

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
TEST_NAME_WORDS_MIN = 3
TOP_LEVEL = {
    *("tqnode", "cli", "web", "tests", "bench", "packaging", "systemd", "pyproject.toml", "README.md"),
    *("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
}
Offence = tuple[int, str]


@dataclass(frozen=True)
class Rule:
    """Something no Python file may do.

    Args:
        check: yields (line, what is wrong) for each offence.
        broken: a file that offends.
        under: the top-level folders it holds for; empty for all.
        but: files or folders it does not hold for.
    """

    check: Callable[[Source], Iterator[Offence]]
    broken: str
    under: tuple[str, ...] = ()
    but: tuple[str, ...] = ()

    def offences(self) -> list[str]:
        return [
            f"{source.path}:{line}: {what}"
            for source in sources(*self.under)
            if not any(source.path.is_relative_to(path) for path in self.but)
            for line, what in self.check(source)
        ]


def long_file(source: Source) -> Iterator[Offence]:
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield lines, f"more than {FILE_LINES_MAX} lines"


def long_function(source: Source) -> Iterator[Offence]:
    for node in source.functions:
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield node.lineno, f"{node.name} has {lines} lines; {FUNCTION_LINES_MAX} are the most"


def forbidden_name(pattern: str, instead: str) -> Callable[[Source], Iterator[Offence]]:
    """A check for imports and dotted names that match ``pattern``."""

    def check(source: Source) -> Iterator[Offence]:
        for node, name in source.names:
            if re.fullmatch(pattern, name):
                yield node.lineno, f"{name}: {instead}"

    return check


def sleep_beside_the_clock(source: Source) -> Iterator[Offence]:
    for node in source.nodes:
        # A sleep of 0 waits for nothing: it lets the loop run.
        waits = isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.sleep"
        if waits and ast.unparse(node.args[0]) != "0":
            yield node.lineno, "asyncio.sleep: wait with Clock.sleep"


SQL = re.compile(
    r"""\b(SELECT\s|INSERT\s+(OR|INTO)\b|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM\b|CREATE\s+\w+|DROP\s+\w+|ALTER\s+TABLE
    |PRAGMA\s|BEGIN\s+IMMEDIATE|ROLLBACK\s+TO|ATTACH\s|VACUUM\s|FROM\s+\w|WHERE\s|ORDER\s+BY|GROUP\s+BY|JOIN\s
    |VALUES\s*\(|RETURNING\s)|^\s*(BEGIN|COMMIT|ROLLBACK|VACUUM|SAVEPOINT\s+\w+|RELEASE\s+\w+)\s*;?\s*$""",
    re.VERBOSE,
)


def sql_in_python(source: Source) -> Iterator[Offence]:
    for node in source.texts:
        if SQL.search(str(node.value)):
            yield node.lineno, "SQL belongs in tqnode/sql"


EXCUSE = re.compile(r"#\s*(type:\s*ignore|noqa|ruff: noqa|pragma: no cover)")
REASONED = re.compile(
    r"#\s*(type: ignore\[[\w, -]+\]|(ruff: )?noqa: [A-Z0-9, ]+|pragma: no cover)\s+[#-]\s*\S+\s+\S.*"
)


def excuse_without_reason(source: Source) -> Iterator[Offence]:
    for line, comment in source.comments:
        if (found := EXCUSE.search(comment)) and not REASONED.match(comment, found.start()):
            yield line, f"{comment}: say which rule, and after a second # (or -) why"


def swallowed_exception(source: Source) -> Iterator[Offence]:
    everything = re.compile(r"\b(Base)?Exception\b")
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or everything.search(ast.unparse(node.type))
            done = [part for line in node.body for part in ast.walk(line)]
            swallows = broad and not any(isinstance(part, ast.Call | ast.Raise | ast.Name) for part in done)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            swallows = any(everything.fullmatch(ast.unparse(argument)) for argument in node.args)
        else:
            continue
        if swallows:
            yield node.lineno, "swallows any exception"


# Spelt so that it does not find itself.
UNFINISHED = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K]|placeholde[r]|stu[b](bed)?)\b", re.IGNORECASE)


def unfinished_work(source: Source) -> Iterator[Offence]:
    for line, text in enumerate(source.text.splitlines(), start=1):
        if found := UNFINISHED.search(text):
            yield line, f"{found[0]}: finish it, or leave it out"


def short_test_name(source: Source) -> Iterator[Offence]:
    for node in source.functions:
        if node.name.startswith("test_") and len(node.name.split("_")) <= TEST_NAME_WORDS_MIN:
            yield node.lineno, f"{node.name}: say as a sentence what must hold"


CAN_FAIL = re.compile(
    r"(pytest\.)?(raises|warns|fail)|run_state_machine_as_test|(.*\.)?validate|.*\bassert\w*|.*\braise_for_status"
)


def can_fail(function: Function, helpers: frozenset[str]) -> bool:
    """Whether the function asserts, or calls something that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if CAN_FAIL.fullmatch(name) or name.rpartition(".")[2] in helpers:
                return True
    return False


@cache
def failing_helpers() -> frozenset[str]:
    """Names of the tests' own functions that assert, directly or through others."""
    helpers: frozenset[str] = frozenset()
    while True:
        functions = (function for source in sources("tests") for function in source.functions)
        found = frozenset(function.name for function in functions if can_fail(function, helpers))
        if found == helpers:
            return helpers
        helpers = found


def toothless_test(source: Source) -> Iterator[Offence]:
    for node in source.functions:
        if node.name.startswith("test_") and not can_fail(node, failing_helpers()):
            yield node.lineno, f"{node.name} cannot fail"


CLOCKS = (
    r"(time|random|secrets)(\..*)?|uuid\.uuid[1-7]|os\.urandom|(.*\.)?(datetime|date)\.(now|utcnow|today)"
)
LEFT_OUT = (
    r"(pytest\.|.*\bmark\.|unittest\.)(skip|skipif|xfail|importorskip|skipTest|skipUnless|expectedFailure)"
)
RULES = [
    Rule(long_file, "pass\n" * (FILE_LINES_MAX + 1)),
    Rule(long_function, "def f():\n" + "    pass\n" * FUNCTION_LINES_MAX),
    Rule(
        forbidden_name(CLOCKS, "only tqnode/clock.py reads clocks and chance"),
        "import datetime\ndatetime.datetime.now()",
        under=("tqnode",),
        but=("tqnode/clock.py",),
    ),
    Rule(sleep_beside_the_clock, "await asyncio.sleep(0.1)", under=("tqnode",), but=("tqnode/clock.py",)),
    Rule(
        forbidden_name(r"os\.(environb?|getenv)", "the command line hands it to tqnode.config"),
        "os.environ['HOME']",
        under=("tqnode",),
        but=("tqnode/config", "tqnode/__main__.py"),  # where it comes in and is handed on
    ),
    Rule(sql_in_python, 'execute(f"DELETE FROM {table}")', under=("tqnode",)),
    Rule(
        forbidden_name(r"sqlite3(\..*)?", "it can corrupt the node's files; apsw is the one library"),
        "import sqlite3",
        under=("tqnode", "cli", "web", "tests"),
    ),
    Rule(excuse_without_reason, "import os  # noqa: F401"),
    Rule(swallowed_exception, "try:\n    f()\nexcept Exception:\n    pass"),
    Rule(unfinished_work, "# TOD" + "O: later"),
    Rule(
        forbidden_name(r"time\.sleep", "wait for a condition with tests.waiting.eventually"),
        "from time import sleep",
        under=("tests",),
        but=("tests/waiting.py",),
    ),
    Rule(forbidden_name(LEFT_OUT, "a test runs, or is not there"), "pytest.mark.skip", under=("tests",)),
    Rule(short_test_name, "def test_claim(): assert 1", under=("tests",)),
    Rule(toothless_test, "def test_that_it_runs(): nothing_known()", under=("tests",)),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.check.__qualname__.partition(".")[0])
def test_every_python_file_keeps_the_rule(rule: Rule) -> None:
    assert list(rule.check(Source(Path("broken.py"), rule.broken))), "the rule does not see its own example"
    offences = rule.offences()
    assert not offences, "\n".join(offences)


def test_the_top_level_is_exactly_as_designed() -> None:
    top = {path.parts[0] for path in files() if not path.parts[0].startswith(".")}
    assert top == TOP_LEVEL


def test_no_folder_shadows_a_package_and_no_module_is_a_drawer() -> None:
    names = {path.as_posix() for path in files()}
    assert not {name for name in names if re.fullmatch(r"(packaging|systemd)/(.*/)?__init__\.py", name)}
    assert not {name for name in names if re.search(r"(^|/)(utils?|helpers?|common|misc)\.py$", name)}


def test_documents_cite_names_and_not_line_numbers() -> None:
    cited = re.compile(r"[\w/]+\.(?:py|sql|sh|toml|md)(?::\d+|#L\d+)")
    documents = [path for path in files() if path.suffix == ".md"]
    assert documents
    assert not {str(path): found for path in documents if (found := cited.findall((ROOT / path).read_text()))}


def test_each_relative_link_of_a_document_leads_to_a_file() -> None:
    def broken(path: Path) -> list[str]:
        targets = re.findall(r"\]\((?![a-z]+:|[#/])([^)#\s]+)", (ROOT / path).read_text())
        return [target for target in targets if not (ROOT / path.parent / target).exists()]

    assert {str(path): broken(path) for path in files() if path.suffix == ".md" and broken(path)} == {}
