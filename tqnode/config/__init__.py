"""The node's configuration: declared in ``model``, read by ``sources``, one frozen :class:`Config`."""

from tqnode.config.model import LATER, Config
from tqnode.config.setting import Setting
from tqnode.config.sources import SETTINGS, ConfigError, Effective, Mistake, load

__all__ = [
    "LATER",
    "SETTINGS",
    "Config",
    "ConfigError",
    "Effective",
    "Mistake",
    "Setting",
    "load",
]
