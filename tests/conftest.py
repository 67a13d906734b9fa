"""What holds for every test: personal settings stay out, and property tests fit a loaded machine."""

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Shared machines stall for seconds: a time limit per example would blame the code for it.
settings.register_profile(
    "tqnode", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("tqnode"), max_examples=1_000, stateful_step_count=100)
settings.load_profile("tqnode")


@pytest.fixture(scope="session", autouse=True)
def _no_personal_settings() -> Iterator[None]:
    """Whoever runs the tests may have a token, a URL, a configuration file or a proxy: none may matter."""
    with tempfile.TemporaryDirectory(prefix="tqnode-home-") as home, pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            # PYTHONUNBUFFERED and its like would hide what happens to everybody else.
            if name.startswith(("TQ_", "TQNODE_", "PYTHON")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("HOME", home)
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        yield
