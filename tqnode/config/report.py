"""The effective configuration as text: a TOML file with the origin of each value, or JSON."""

import json
from pathlib import Path

from tqnode.config.setting import Value
from tqnode.config.sources import SETTINGS, ConfigError, Effective


def _toml(value: Value) -> str:
    if isinstance(value, str | Path):
        # A JSON string is a TOML basic string, DEL aside.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def as_toml(effective: Effective) -> str:
    """A file that gives the same configuration; each line says where its value came from."""
    lines = [f"{key} = {_toml(getattr(effective.config, key))}" for key in SETTINGS]
    width = max(map(len, lines))
    commented = [
        f"{line:<{width}}  # {effective.sources[key]}" for key, line in zip(SETTINGS, lines, strict=True)
    ]
    return "\n".join(commented)


def as_json(effective: Effective) -> str:
    """``{"file": ..., "config": {key: {"value": ..., "source": ..., "unit": ...}}, "mistakes": []}``."""
    keys = {
        key: {
            "value": str(value) if isinstance(value := getattr(effective.config, key), Path) else value,
            "source": effective.sources[key],
            "unit": setting.unit or None,
        }
        for key, setting in SETTINGS.items()
    }
    file = None if effective.file is None else str(effective.file)
    return json.dumps({"file": file, "config": keys, "mistakes": []}, indent=2)


def mistakes_as_json(error: ConfigError) -> str:
    """``{"mistakes": [{"source": ..., "detail": ...}]}``."""
    mistakes = [{"source": mistake.source, "detail": mistake.detail} for mistake in error.mistakes]
    return json.dumps({"mistakes": mistakes}, indent=2)


def as_markdown() -> str:
    """What each key means, as the table of the documentation."""
    rows = ["| Key | Default | Unit | Bounds | Meaning |", "|---|---|---|---|---|"]
    for key, setting in SETTINGS.items():
        default = "the host's name" if key == "name" else f"`{_toml(setting.default)}`"
        bounds = setting.bounds.replace("|", "\\|")
        rows.append(f"| `{key}` | {default} | {setting.unit} | {bounds} | {setting.help} |")
    return "\n".join(rows)
