"""The file of the webhooks: all that is wrong with it is told, and never a secret."""

from pathlib import Path

import pytest

from tqnode.delivery.endpoints import EndpointsError, read
from tqnode.queue.membership import BatchEvent
from tqnode.task import TaskState

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def written(folder: Path, text: str, mode: int = 0o600) -> str:
    file = folder / "webhooks.toml"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


def test_no_file_names_no_webhooks() -> None:
    endpoints = read("")
    assert (endpoints.find("default"), endpoints.by_queue) == (None, False)


def test_a_file_names_secrets_and_endpoints(tmp_path: Path) -> None:
    (tmp_path / "other").write_text(f"{SECRET}\n{SECRET}\n")
    (tmp_path / "other").chmod(0o600)
    file = written(
        tmp_path,
        f'[default]\nsecret = "{SECRET}"\n'
        '[shop]\nsecret_file = "other"\nurl = "https://example.com/x"\non = ["dead"]\nqueues = ["orders"]\n'
        'on_batch = ["success"]\n',
    )
    endpoints = read(file)
    default, shop = endpoints.find("default"), endpoints.find("shop")
    assert default is not None
    assert shop is not None
    assert (default.url, len(default.secrets)) == (None, 1)
    assert (shop.url, shop.on, len(shop.secrets)) == ("https://example.com/x", (TaskState.DEAD,), 2)
    assert (default.on_batch, shop.on_batch) == (tuple(BatchEvent), (BatchEvent.SUCCESS,))
    assert (endpoints.of_queue("orders"), endpoints.of_queue("default")) == ("shop", None)
    assert "secret" not in repr(default)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "not TOML"),
        ("a = 1", "must be a table"),
        ("[a]", "needs either secret or secret_file"),
        ('[a]\nsecret = "x"', "must be whsec_"),
        (f'[a]\nsecret = "{SECRET}"\nsecret_file = "x"', "needs either"),
        (f'[a]\nsecret = "{SECRET}"\ncolour = 1', "unknown key"),
        (f'[a]\nsecret = "{SECRET}"\nurl = "ftp://x"', "must begin with https"),
        (f'[a]\nsecret = "{SECRET}"\non = ["ready"]', "on must be a list"),
        (f'[a]\nsecret = "{SECRET}"\non_batch = ["dead"]', "on_batch must be a list"),
        (f'[a]\nsecret = "{SECRET}"\nqueues = ["q"]', "queues need a url"),
        ("[a]\nsecret = []", "1 to 4 secrets"),
        ('[a]\nsecret_file = "missing"', "cannot be read"),
        (f'["a b"]\nsecret = "{SECRET}"', "has a name"),
        (
            f'[a]\nsecret = "{SECRET}"\nurl = "https://x"\nqueues = ["q"]\n'
            f'[b]\nsecret = "{SECRET}"\nurl = "https://x"\nqueues = ["q"]\n',
            "of both a and b",
        ),
    ],
)
def test_what_is_wrong_with_the_file_is_told_without_its_secrets(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(EndpointsError, match=said) as caught:
        read(written(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EndpointsError, match="chmod 600"):
        read(written(tmp_path, f'[a]\nsecret = "{SECRET}"', 0o644))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EndpointsError, match="cannot be read"):
        read(str(tmp_path / "nowhere"))
