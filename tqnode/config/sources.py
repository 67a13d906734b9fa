"""Where configuration comes from: defaults < TOML file < TQNODE_* variables < flags."""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tqnode.config.model import LATER, Config, contradictions
from tqnode.config.setting import BadValue, Setting, Value, settings_of

SETTINGS: Final[Mapping[str, Setting]] = settings_of(Config)
DEFAULT_FILE: Final = Path("/etc/tqnode/tqnode.toml")
FILE_VARIABLE: Final = "TQNODE_CONFIG"
_PREFIX: Final = "TQNODE_"
_FILE_BYTES_MAX: Final = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with the configuration.

    Args:
        source: where it stands: file and key, variable, or flag.
        detail: what is wrong; completes the sentence.
    """

    source: str
    detail: str

    def __str__(self) -> str:
        return f"{self.source}: {self.detail}"


class ConfigError(Exception):
    """The configuration cannot be used; ``mistakes`` are all that is wrong with it."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


@dataclasses.dataclass(frozen=True, slots=True)
class Effective:
    """A checked configuration, and for each key where its value came from."""

    config: Config
    sources: Mapping[str, str]
    file: Path | None


class _Gathering:
    """Collects values by key, the later source winning, and every mistake of all of them."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.sources: dict[str, str] = {}
        self.mistakes: list[Mistake] = []

    def take(self, key: str, value: object, source: str, *, text: bool) -> None:
        setting = SETTINGS.get(key)
        if setting is None:
            self._refuse(key, value, source)
            return
        try:
            found = setting.parse(str(value)) if text else setting.check(value)
        except BadValue as error:
            self.mistakes.append(Mistake(source, str(error)))
            return
        self.values[key] = found
        self.sources[key] = source

    def _refuse(self, key: str, value: object, source: str) -> None:
        if key in LATER:
            if value not in LATER[key]:
                self.mistakes.append(Mistake(source, _unprotected(key)))
            return
        where = "unknown"
        if isinstance(value, dict):
            where = "unknown table (keys stand at the top level)"
        elif near := difflib.get_close_matches(key, [*SETTINGS, *LATER], n=1):
            where = f"unknown; did you mean {_same_form(source, near[0])}?"
        self.mistakes.append(Mistake(source, where))

    def finish(self) -> Config:
        if self.mistakes:
            # Checks of one value against another would repeat, in other words, what is already told.
            raise ConfigError(self.mistakes)
        config = Config(**self.values)  # type: ignore[arg-type]  # each checked against its field's type
        wrong = contradictions(config)
        if wrong:
            raise ConfigError(Mistake(self.sources.get(key, key), detail) for key, detail in wrong)
        return config


def _unprotected(key: str) -> str:
    off = [repr(value) for value in LATER[key]]
    but = f"leave it out, or set it to {off[0]}" if off and off[0] != "''" else "leave it out"
    return f"this version runs one node without it; {but}"


def _same_form(source: str, key: str) -> str:
    """Writes a key as its neighbours in ``source`` are written: as a variable or as a key."""
    return f"{_PREFIX}{key.upper()}" if source.startswith(_PREFIX) else key


def load(*, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Effective:
    """Puts the configuration together and checks all of it.

    Args:
        file: the TOML file named on the command line; None looks at TQNODE_CONFIG, then at
            ``/etc/tqnode/tqnode.toml``.
        environ: the environment.
        flags: texts given on the command line, by key.

    Raises:
        ConfigError: with every mistake of every source.
    """
    gathering = _Gathering()
    if file is None and environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE])
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    if file is not None:
        try:
            table = _read(file)
        except ConfigError as error:
            gathering.mistakes.extend(error.mistakes)
        else:
            for key, value in table.items():
                gathering.take(key, value, f"{file}: {key}", text=False)
    for variable, text in sorted(environ.items()):
        if variable.startswith(_PREFIX) and variable != FILE_VARIABLE:
            key = variable.removeprefix(_PREFIX)
            # A variable in another case is not the one that is documented.
            gathering.take(key.lower() if key.isupper() else key, text, variable, text=True)
    for key, text in flags.items():
        gathering.take(key, text, "--" + key.replace("_", "-"), text=True)
    config = gathering.finish()
    sources = {key: gathering.sources.get(key, "default") for key in SETTINGS}
    return Effective(config, sources, file)


def _read(file: Path) -> dict[str, object]:
    try:
        with file.open("rb") as stream:
            data = stream.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError([Mistake(str(file), f"cannot be read: {error.strerror}")]) from error
    if len(data) > _FILE_BYTES_MAX:
        raise ConfigError([Mistake(str(file), f"is larger than {_FILE_BYTES_MAX} bytes")])
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError([Mistake(str(file), f"is not UTF-8 at byte {error.start}")]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([Mistake(str(file), f"is not TOML: {error}")]) from error
