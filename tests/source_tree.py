"""The repository's own files, for the tests that check how it is written."""

import ast
import io
import subprocess
import tokenize
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def files() -> tuple[Path, ...]:
    """Every file that is, or is about to be, in the repository, relative to its root."""
    # A clone that another user owns is refused otherwise; nothing of it is run here.
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT)]
    listed = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    return tuple(Path(name) for name in sorted(names.split("\0")) if name and (ROOT / name).is_file())


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path
    text: str

    @cached_property
    def nodes(self) -> list[Any]:
        """Every node; each check asks for the types it knows."""
        return list(ast.walk(ast.parse(self.text)))

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in self.nodes if isinstance(node, Function)]

    @cached_property
    def names(self) -> list[tuple[ast.expr | ast.stmt, str]]:
        """What the file imports or reaches by dots, as written: ``time.sleep``, ``sqlite3``."""
        found: list[tuple[ast.expr | ast.stmt, str]] = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [(node, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found += [(node, f"{node.module}.{alias.name}") for alias in node.names]
            elif isinstance(node, ast.Attribute):
                found.append((node, ast.unparse(node)))
        return found

    @cached_property
    def texts(self) -> list[ast.Constant]:
        """The string constants that are not docstrings."""
        prose = {id(node.value) for node in self.nodes if isinstance(node, ast.Expr)}
        return [
            node
            for node in self.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
        ]

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


@cache
def _every_source() -> tuple[Source, ...]:
    return tuple(Source(path, (ROOT / path).read_text()) for path in files() if path.suffix == ".py")


def sources(*tops: str) -> list[Source]:
    """The Python files under ``tops``; all without one. Each file is parsed once for all who ask."""
    return [source for source in _every_source() if not tops or source.path.parts[0] in tops]
