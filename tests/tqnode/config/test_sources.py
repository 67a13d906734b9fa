"""Where configuration comes from, and what is said of what is wrong with it."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqnode.config import LATER, SETTINGS, Config, ConfigError, Setting, load, report
from tqnode.config.setting import BadValue
from tqnode.config.sources import Mistake


def mistakes(
    *, file: Path | None = None, environ: dict[str, str] | None = None, flags: dict[str, str] | None = None
) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(file=file, environ=environ or {}, flags=flags or {})
    return {mistake.source: mistake.detail for mistake in caught.value.mistakes}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "tqnode.toml"


def test_without_any_source_every_key_has_its_default(toml: Path) -> None:
    toml.write_text("")
    effective = load(file=toml, environ={}, flags={})
    assert effective.config == Config()
    assert set(effective.sources) == set(SETTINGS)
    assert set(effective.sources.values()) == {"default"}


def test_every_default_is_a_value_its_own_key_takes() -> None:
    for setting in SETTINGS.values():
        default = setting.default if setting.type is not Path else str(setting.default)
        assert str(setting.check(default)) == str(default)


def test_flags_win_over_variables_over_the_file_over_defaults(toml: Path) -> None:
    toml.write_text("batch_max = 2\npage_max = 2\nclaim_max = 2\n")
    effective = load(
        file=toml,
        environ={"TQNODE_PAGE_MAX": "3", "TQNODE_CLAIM_MAX": "3"},
        flags={"claim_max": "4"},
    )
    config, sources = effective.config, effective.sources
    assert (config.batch_max, sources["batch_max"]) == (2, f"{toml}: batch_max")
    assert (config.page_max, sources["page_max"]) == (3, "TQNODE_PAGE_MAX")
    assert (config.claim_max, sources["claim_max"]) == (4, "--claim-max")
    assert (config.queues_max, sources["queues_max"]) == (10_000, "default")


def test_the_variable_names_the_file_unless_a_flag_does(toml: Path, tmp_path: Path) -> None:
    toml.write_text("batch_max = 2\n")
    other = tmp_path / "other.toml"
    other.write_text("batch_max = 5\n")
    environ = {"TQNODE_CONFIG": str(toml)}
    assert load(file=None, environ=environ, flags={}).config.batch_max == 2
    assert load(file=other, environ=environ, flags={}).config.batch_max == 5


def test_every_mistake_of_every_source_is_told_at_once(toml: Path) -> None:
    toml.write_text(
        'listen = "nowhere"\nbatch_maks = 3\nlease_s = true\nclaim_max = 1.5\n[limits]\npage_max = 1\n'
    )
    found = mistakes(
        file=toml,
        environ={"TQNODE_NAME": "", "TQNODE_LOG_LEVL": "info", "TQNODE_PAGE_MAX": "many", "HOME": "/root"},
        flags={"drain_s": "-1", "peers": "a=b:1"},
    )
    assert found == {
        f"{toml}: listen": "must be host:port such as 127.0.0.1:7333 or [::1]:7333, not 'nowhere'",
        f"{toml}: batch_maks": "unknown; did you mean batch_max?",
        f"{toml}: lease_s": "must be a number, not 'True'",
        f"{toml}: claim_max": "must be a whole number, not '1.5'",
        f"{toml}: limits": "unknown table (keys stand at the top level)",
        "TQNODE_NAME": "must be 1 to 64 letters, digits, '_', '.' or '-', not ''",
        "TQNODE_LOG_LEVL": "unknown; did you mean TQNODE_LOG_LEVEL?",
        "TQNODE_PAGE_MAX": "must be a whole number, not 'many'",
        "--drain-s": "must be 0 to 300 seconds, not -1",
        "--peers": "must have at least 3 nodes; leave it out to run one node alone",
    }


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("/srv/archive", "must begin with file://, "),
        ("ftp://host/x", "must begin with file://, "),
        ("file://srv/archive", "must be file:// and an absolute path"),
        ("file:///srv/archive?x=1", "must be file:// and an absolute path"),
        ("s3:///folder", "must name a host or a bucket, such as s3://name/folder"),
        ("s3://bucket/a b", "must be a URL without spaces"),
        ("sftp://me:sesame@host/x", "must hold no password; put it into archive_credentials_file"),
        ("s3://[x/y", "must be a URL such as s3://bucket/folder"),
    ],
)
def test_a_wrong_archive_is_told_without_what_it_may_hide(toml: Path, url: str, wrong: str) -> None:
    toml.write_text("")
    told = mistakes(file=toml, flags={"archive": url})["--archive"]
    assert told.startswith(wrong)
    assert "sesame" not in told


@pytest.mark.parametrize(
    "url", ["", "file:///srv/archive", "s3://bucket/a?endpoint=http://x:9", "sftp://me@host:22/a", "gs://b"]
)
def test_an_archive_as_litestream_takes_it_is_taken(toml: Path, url: str) -> None:
    toml.write_text("")
    assert load(file=toml, environ={}, flags={"archive": url}).config.archive == url


def test_a_value_below_a_wrong_one_is_still_told(toml: Path) -> None:
    toml.write_text("batch_max = 0\n")
    found = mistakes(file=toml, flags={"batch_max": "5"})
    assert list(found) == [f"{toml}: batch_max"]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"listen = ", "is not TOML"),
        (b"\xff", "is not UTF-8 at byte 0"),
        (b"batch_max = 1\nbatch_max = 2\n", "is not TOML"),
        (b"a = " + b"[" * 100_000, "is not TOML"),
        (b"#" * (1024 * 1024 + 1), "is larger than 1048576 bytes"),
    ],
)
def test_an_unreadable_file_is_one_mistake_beside_the_others(toml: Path, content: bytes, detail: str) -> None:
    toml.write_bytes(content)
    found = mistakes(file=toml, flags={"batch_max": "0"})
    assert detail in found[str(toml)]
    assert "--batch-max" in found


def test_a_named_file_that_is_missing_is_a_mistake(toml: Path) -> None:
    assert mistakes(file=toml) == {str(toml): "cannot be read: No such file or directory"}
    assert mistakes(environ={"TQNODE_CONFIG": str(toml)}) == {
        str(toml): "cannot be read: No such file or directory"
    }


@pytest.mark.parametrize("key", sorted(LATER))
def test_a_protection_this_version_lacks_is_refused_unless_off(toml: Path, key: str) -> None:
    toml.write_text("")
    assert (
        "this version runs one node without it"
        in mistakes(file=toml, flags={key: "x"})[f"--{key.replace('_', '-')}"]
    )
    for off in LATER[key]:
        toml.write_text(f"{key} = {json.dumps(off)}\n")
        assert load(file=toml, environ={}, flags={}).config == Config()


@pytest.mark.parametrize(
    ("flags", "source"),
    [
        (
            {"payload_bytes_max": "4096", "result_bytes_max": "1024", "body_bytes_max": "2048"},
            "--payload-bytes-max",
        ),
        (
            {"result_bytes_max": "4096", "payload_bytes_max": "1024", "body_bytes_max": "2048"},
            "--result-bytes-max",
        ),
        ({"lease_s_max": "10"}, "lease_s"),
        ({"worker_heartbeat_s": "31"}, "worker_silent_s"),
    ],
)
def test_two_keys_that_contradict_each_other_are_refused(flags: dict[str, str], source: str) -> None:
    assert list(mistakes(flags=flags)) == [source]


@pytest.mark.parametrize(
    "listen",
    [
        "",
        "7333",
        ":7333",
        "host",
        "host:",
        "host:65536",
        "host:-1",
        "::1:7333",
        "[::1]",
        "a b:1",
        "[x]:1",
        "h:1٣",
    ],
)
def test_an_address_without_host_and_port_is_refused(listen: str) -> None:
    assert "--listen" in mistakes(flags={"listen": listen})


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:7333", ("::1", 7333)),
        ("node-1.example.org:65535", ("node-1.example.org", 65535)),
    ],
)
def test_an_address_is_taken_apart(listen: str, address: tuple[str, int]) -> None:
    assert load(file=None, environ={}, flags={"listen": listen}).config.address == address


numbers = [setting for setting in SETTINGS.values() if setting.type in (int, float)]


@given(st.sampled_from(numbers), st.one_of(st.integers(-5, 2_000_000_000), st.floats()))
def test_a_number_is_taken_exactly_when_it_fits_its_key(setting: Setting, number: float) -> None:
    assert setting.low is not None
    assert setting.high is not None
    fits = setting.low <= number <= setting.high and (setting.type is float or isinstance(number, int))
    try:
        taken = setting.parse(repr(number))
    except BadValue:
        assert not fits
    else:
        assert fits
        assert (taken, type(taken)) == (number, setting.type)


def load_or_mistakes(flags: dict[str, str]) -> Config | dict[str, str]:
    try:
        return load(file=None, environ={}, flags=flags).config
    except ConfigError as error:
        return {mistake.source: mistake.detail for mistake in error.mistakes}


@given(st.dictionaries(st.sampled_from(sorted(SETTINGS)), st.text(max_size=20), max_size=5))
def test_any_text_is_a_value_or_a_mistake_and_never_a_crash(flags: dict[str, str]) -> None:
    outcome = load_or_mistakes(flags)
    assert isinstance(outcome, Config) or outcome


@given(st.text(max_size=200).filter(lambda text: text.lower() not in {*SETTINGS, *LATER, "config"}))
def test_an_unknown_key_is_always_refused(key: str) -> None:
    assert f"TQNODE_{key}" in mistakes(environ={f"TQNODE_{key}": "1"})


def test_what_config_check_prints_is_a_file_that_means_the_same(toml: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'odd "name" \\ é\x7f'
    effective = load(
        file=None, environ={"TQNODE_DATA_DIR": str(odd)}, flags={"lease_s": "0.5", "keep_dead_s": "-1"}
    )
    printed = report.as_toml(effective)
    assert set(tomllib.loads(printed)) == set(SETTINGS)
    toml.write_text(printed)
    assert load(file=toml, environ={}, flags={}).config == effective.config


def test_the_json_report_gives_value_source_and_unit_of_each_key() -> None:
    effective = load(file=None, environ={}, flags={"lease_s": "7"})
    told = json.loads(report.as_json(effective))
    assert set(told["config"]) == set(SETTINGS)
    assert told["config"]["lease_s"] == {"value": 7.0, "source": "--lease-s", "unit": "seconds"}
    assert told["mistakes"] == []


def test_mistakes_as_json_keep_source_and_detail_apart() -> None:
    told = json.loads(report.mistakes_as_json(ConfigError([Mistake("--x", "unknown")])))
    assert told == {"mistakes": [{"source": "--x", "detail": "unknown"}]}
