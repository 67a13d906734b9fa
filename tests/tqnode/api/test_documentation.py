"""docs/api.md says what is so: its examples are run with the real curl, in its own order."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import tqweb
from tests.tqnode.api.conftest import Served
from tqnode.api.codes import CODES
from tqnode.api.routes import ROUTES

PAGE = (Path(tqweb.__file__).parent / "docs" / "api.md").read_text()
EXAMPLE = re.compile(r"```sh\n(curl .+?)\n```\n(?:```json\n(.+?)\n```\n)?", re.DOTALL)
# What differs from run to run; all else must be as written.
VARYING = re.compile(
    r"id|token|parent|child|.*_at|at|then|task|next_cursor|request_id|uptime_s|version|file|free|oldest_ready_age_s|since_start"
    r"|next_runs|since|until"
)


def differences(written: Any, answered: Any, place: str = "") -> list[str]:
    """Where an answer has another shape than the example, or another value that should be the same."""
    name = re.split(r"[.\[]", place.rstrip("]0123456789").rstrip("["))[-1]
    if isinstance(written, dict) and isinstance(answered, dict):
        if name == "since_start":
            missing = written.keys() - answered.keys()
            return [f"{place} lacks {missing}"] if missing else []
        if written.keys() != answered.keys():
            return [f"{place} has {sorted(answered)}, not {sorted(written)}"]
        return [
            line for key in written for line in differences(written[key], answered[key], f"{place}.{key}")
        ]
    if isinstance(written, list) and isinstance(answered, list) and len(written) == len(answered):
        pairs = enumerate(zip(written, answered, strict=True))
        return [line for index, pair in pairs for line in differences(*pair, f"{place}[{index}]")]
    if type(written) is not type(answered):
        return [f"{place} is {answered!r}, not {written!r}"]
    if written != answered and not VARYING.fullmatch(name):
        return [f"{place} is {answered!r}, not {written!r}"]
    return []


async def output_of(command: str, environ: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, f"{command}\n{err.decode()}"
    return out.decode()


async def test_every_example_does_what_the_page_says(served: Served) -> None:
    examples = EXAMPLE.findall(PAGE)
    assert len(examples) > 25
    assert len(examples) == PAGE.count("```sh")
    environ = {"PATH": os.environ["PATH"], "TQ": served.url, "ID": "", "TOKEN": "", "BATCH": ""}
    for command, written in examples:
        text = await output_of(command, environ)
        answer = json.loads(text) if text.startswith("{") else {}
        if written:
            assert differences(json.loads(written), answer) == [], f"{command}\n{text}"
        elif "/v1/events" in command:
            assert "event: reset" in text
        else:
            assert "code" not in answer, text
        if "/v1/batches " in command:
            environ["BATCH"] = answer["id"]
        for found in (answer, *answer.get("tasks", []), *answer.get("results", [])):
            environ |= {name.upper(): found[name] for name in ("id", "token") if name in found}


def test_every_route_and_code_is_on_the_page() -> None:
    for route in ROUTES:
        pattern = re.sub(r"\\{\w+\\}", r"[^\\s/]+", re.escape(route.path))
        last = route.path.rpartition("/")[2]
        assert re.search(pattern, PAGE) or f"`/{last}`" in PAGE, route.path
    for code, (status, about) in CODES.items():
        assert f"### {code}\n\n{status}: {about}\n" in PAGE


def test_the_comparison_of_examples_sees_a_difference() -> None:
    assert differences({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}) != []
    assert differences({"a": 1}, {"a": 1, "b": 2}) != []
    assert differences({"id": "x", "at": "1"}, {"id": "y", "at": "2"}) == []
    assert differences({"id": "x"}, {"id": 1}) != []
