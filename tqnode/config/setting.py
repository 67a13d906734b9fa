"""One configuration key: its type, default, unit, bounds and meaning, and how a value for it is read."""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

type_names: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}
_KEY: Final = "setting"
_BOOL: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INT = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)

Value = int | float | str | Path


class BadValue(ValueError):
    """The value does not fit its key; the text completes the sentence "``key`` ..."."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of one key. Whatever names keys (files, variables, flags, documents) reads this."""

    key: str
    type: type
    default: Value
    help: str
    """One sentence."""
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    shape: Callable[[str], str | None] | None
    """Says what is wrong with a text, or None."""
    many: bool = False
    """The text is a list with commas; a file may give it as a list of texts."""

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def bounds(self) -> str:
        """For people: ``1 to 100``, ``at least 0``, ``text or json``; empty when anything goes."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        if self.low is not None and self.high is not None:
            return f"{self.low:.16g} to {self.high:.16g}"
        return "" if self.low is None else f"at least {self.low:.16g}"

    def parse(self, text: str) -> Value:
        """Reads the value out of a variable's or a flag's text.

        Raises:
            BadValue: it is not a value of this key.
        """
        if self.type is bool:
            if text.strip().lower() not in _BOOL:
                raise self._wrong_type(text)
            return _BOOL[text.strip().lower()]
        if self.type is int:
            if not _INT.fullmatch(text.strip().replace("_", "")):
                raise self._wrong_type(text)
            return self.check(int(text.strip().replace("_", "")))
        if self.type is float:
            try:
                return self.check(float(text))
            except ValueError as error:
                if isinstance(error, BadValue):
                    raise
                raise self._wrong_type(text) from None
        return self.check(text)

    def check(self, value: object) -> Value:
        """Takes a value of a TOML file, or one already parsed.

        Raises:
            BadValue: it is not a value of this key.
        """
        if self.type is float and type(value) is int:
            value = float(value)
        if self.many and isinstance(value, list) and all(type(part) is str for part in value):
            value = ",".join(value)
        if type(value) is not (str if self.type is Path else self.type):
            raise self._wrong_type(value)
        if isinstance(value, str):
            return self._check_text(value)
        assert isinstance(value, int | float)  # noqa: S101  # the types above leave nothing else
        if not math.isfinite(value):
            raise self._wrong_type(value)
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise BadValue(f"must be {self.bounds}{f' {self.unit}' if self.unit else ''}, not {value:.16g}")
        return value

    def _check_text(self, text: str) -> Value:
        if self.choices and text not in self.choices:
            raise BadValue(f"must be {self.bounds}, not {text[:80]!r}")
        if self.type is Path:
            if not text or "\0" in text:
                raise BadValue(f"must be a path, not {text[:80]!r}")
            try:
                return Path(text).expanduser().absolute()
            except RuntimeError as error:
                raise BadValue(f"must be a path: {error}") from error
        wrong = self.shape(text) if self.shape is not None else None
        if wrong is not None:
            raise BadValue(wrong)
        return text

    def _wrong_type(self, value: object) -> BadValue:
        return BadValue(f"must be {type_names[self.type]}, not {str(value)[:80]!r}")


def setting(
    default: Value | Callable[[], Value],
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    shape: Callable[[str], str | None] | None = None,
    many: bool = False,
) -> Any:
    """Declares a field of a configuration dataclass.

    Args:
        default: the value, or a function that finds it on this machine.
        meaning: one sentence for people.
        unit: of the number, such as ``bytes``.
        low: smallest number allowed.
        high: largest number allowed.
        choices: the only texts allowed.
        shape: says what is wrong with a text, or None.
        many: the text is a list with commas; a file may give it as a list of texts.
    """
    metadata = {
        _KEY: {
            "help": meaning,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": choices,
            "shape": shape,
            "many": many,
        }
    }
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def settings_of(model: Any) -> dict[str, Setting]:
    """The settings a configuration dataclass declares, by key, in order.

    Args:
        model: the dataclass.
    """
    found = {}
    for field in dataclasses.fields(model):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found[field.name] = Setting(key=field.name, type=field.type, default=default, **field.metadata[_KEY])  # type: ignore[arg-type]  # annotations here are types, never strings
    return found
