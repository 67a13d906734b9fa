"""``/openapi.json``: made from the routes that are served and the types they speak."""

import re
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import msgspec

from tq import wire
from tqnode.api.codes import CODES, OF_EVERY_BODY, OF_EVERY_CALL, OF_EVERY_WRITE
from tqnode.api.route import Parameter, Route

Json = dict[str, Any]

_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_PATH_SCHEMAS: dict[str, Json] = {
    "id": {"type": "string", "format": "uuid"},
    "queue": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.:@+-]*$"},
    "name": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.:@+-]*$"},
}
_PATH_ABOUT = {"id": "The id, a UUID.", "queue": "The queue's name.", "name": "The schedule's name."}
_PROBLEM = "application/problem+json"


def document(routes: Sequence[Route]) -> bytes:
    """The description of ``routes`` as JSON, OpenAPI 3.1."""
    parts = [part for route in routes for part in (route.body, *route.answers.values())]
    types = [wire.Problem, wire.TaskEvent, *(one for part in parts for one in _types_of(part))]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "tqnode",
            "version": metadata.version("tqnode"),
            "summary": "A task queue over HTTP.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components},
    }
    return msgspec.json.encode(whole)


def _types_of(part: Any) -> tuple[Any, ...]:
    """The types in a route's ``body`` or in one of its ``answers``."""
    if part is None or isinstance(part, str):
        return ()
    return part if isinstance(part, tuple) else (part,)


def _schema_of(part: Any, schemas: dict[str, Json]) -> Json:
    found = [schemas[repr(one)] for one in _types_of(part)]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _operation(route: Route, schemas: dict[str, Json]) -> Json:
    named = [
        Parameter(name=name, schema=_PATH_SCHEMAS[name], about=_PATH_ABOUT[name], place="path")
        for name in _PATH_PARAMETER.findall(route.path)
    ]
    operation: Json = {
        "operationId": route.name,
        "summary": route.about,
        "responses": {str(status): _answer(body, schemas) for status, body in route.answers.items()},
    }
    parameters = [_parameter(parameter) for parameter in [*named, *route.parameters]]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {"application/json": {"schema": _schema_of(route.body, schemas)}},
        }
    for status, codes in sorted(_errors(route).items()):
        about = "; ".join(f"`{code}`: {CODES[code].about}" for code in codes)
        problem = {"description": about, "content": {_PROBLEM: {"schema": schemas[repr(wire.Problem)]}}}
        operation["responses"].setdefault(str(status), problem)
    return operation


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.about,
        "required": parameter.place == "path",
        "schema": parameter.schema,
    }


def _answer(body: Any, schemas: dict[str, Json]) -> Json:
    if body is None:
        return {"description": "Done; there is no body."}
    if isinstance(body, str):
        return {"description": "As it says.", "content": {body: {}}}
    return {"description": "Done.", "content": {"application/json": {"schema": _schema_of(body, schemas)}}}


def _errors(route: Route) -> dict[int, list[str]]:
    """The codes a route may answer with, by status."""
    codes = [*OF_EVERY_CALL, *route.errors]
    if route.body is not None:
        codes += OF_EVERY_BODY
    if route.method != "GET":
        codes += OF_EVERY_WRITE
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(CODES[code].status, []).append(code)
    return by_status
