"""The published description of the gateway: every operation with who may ask for it, and every way it refuses."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.dependencies import GuardedRoute
from api.problems import ANSWERS, INVALID_REQUEST, MEDIA_TYPE, Problem, Refusal, refusal_of
from api.schemas.bulk import BulkStart
from stafett.domain.errors import (
    IdempotencyKeyReusedError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
    ServiceUnavailableError,
    StafettError,
    UnauthenticatedError,
)
from stafett.domain.export_status import ExportErrorCode

Json = dict[str, Any]
_READ_BY_HAND = (BulkStart,)  # bodies that come in more than one form
_REPLACED = ("HTTPValidationError", "ValidationError")
_RAISES = "x-raises"
_SURPRISE = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side.")
_TOO_OFTEN = Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", "Too many requests; ask again in a while.")
_NO_METHOD = Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "There is something there, but not for this.")
_TOO_LARGE = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "The body is too large.")
_NO_JSON = Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body is to be JSON.")
_OF_A_GUARDED_ROUTE = (UnauthenticatedError, PermissionDeniedError, ServiceUnavailableError)
_OF_AN_EDIT = (PreconditionFailedError, PreconditionRequiredError)
_HEADERS = {
    "ETag": 'Of the form `"R-S"`: R counts clients\' edits, S all other change.',
    "Location": "Where the job is.",
    "Retry-After": "Ask again after so many seconds; of a job, as long as it runs.",
    "Preference-Applied": "How long was waited for, if that was preferred.",
    "X-Request-ID": "What the request is called in our logs.",
}


def raises(*errors: type[StafettError] | ExportErrorCode) -> dict[str, Any]:
    """For a route's ``openapi_extra``: what it refuses beyond what every route of its shape does."""
    return {_RAISES: [error.value if isinstance(error, ExportErrorCode) else error.__name__ for error in errors]}


def describe(app: FastAPI, routes: Sequence[GuardedRoute]) -> None:
    """Have the document say it; nothing else is promised."""
    made, rules = app.openapi, {str(route.operation_id): route for route in routes}

    def openapi() -> Json:
        if app.openapi_schema is None:
            document = made()
            _describe(document, rules)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _describe(document: Json, rules: dict[str, GuardedRoute]) -> None:
    components: Json = document["components"]
    for name in _REPLACED:
        components["schemas"].pop(name, None)
    for model in (Problem, *_READ_BY_HAND):
        shape = model.model_json_schema(ref_template="#/components/schemas/{model}")
        components["schemas"].update(shape.pop("$defs", {}))
        components["schemas"][model.__name__] = shape
    components["headers"] = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()
    }
    components["examples"] = {_NO_METHOD.code: _example("/api/v1/me", _NO_METHOD)}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
            rule = rules.get(operation["operationId"])
            if rule is not None:
                roles = ", ".join(rule.rule.roles)
                operation["description"] = f"{operation.get('description', '')}\n\nFor: {roles}.".strip()
                operation["x-roles"] = list(rule.rule.roles)
            _describe_answers(operation)
            _describe_refusals(path, operation, components["examples"], is_guarded=rule is not None)
    link(document)
    tidy(document)


def _describe_answers(operation: Json) -> None:
    """What follows from the request headers that an operation understands."""
    answers, understood = operation["responses"], _headers(operation)
    if "if-none-match" in understood:
        answers["304"] = {"description": "You have it already"}
    if "prefer" in understood:
        answers["200"] = {"description": "It has ended", "content": answers["202"]["content"]}
    for status, answer in answers.items():
        if status.startswith(("2", "3")):
            names = list(_headers_of_answer(status, understood))
            answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _headers_of_answer(status: str, understood: set[str]) -> Iterator[str]:
    yield "X-Request-ID"
    if "prefer" in understood:
        yield from ("ETag", "Preference-Applied")
        if "idempotency-key" in understood:
            yield "Location"
    if understood & {"if-none-match", "if-match"}:
        yield "ETag"
    if status == "202" or "if-none-match" in understood:
        yield "Retry-After"


def _describe_refusals(path: str, operation: Json, examples: Json, *, is_guarded: bool) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for refusal in _refusals(path, operation, is_guarded=is_guarded):
        described = answers.setdefault(str(int(refusal.status)), {"description": refusal.status.phrase})
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        content = described.setdefault("content", {}).setdefault(MEDIA_TYPE, schema)
        content["examples"][refusal.code] = {"$ref": f"#/components/examples/{refusal.code}"}
        examples.setdefault(refusal.code, _example(path, refusal))
        headers = {"X-Request-ID", *(["Retry-After"] if refusal.is_passing else [])}
        described["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(headers)}


def _example(path: str, refusal: Refusal) -> Json:
    problem = refusal.problem(path, trace_id="9f86d081884c7d659a2feaa0c55ad015")
    return {"summary": refusal.detail, "value": problem.model_dump(mode="json")}


def _refusals(path: str, operation: Json, *, is_guarded: bool) -> Iterator[Refusal]:
    understood = _headers(operation)
    yield from map(_declared, operation.pop(_RAISES, ()))
    if is_guarded:
        yield from _of(_OF_A_GUARDED_ROUTE)
        yield _TOO_OFTEN
    if operation.get("parameters") or "requestBody" in operation:
        yield INVALID_REQUEST
    if "requestBody" in operation:
        yield from (_TOO_LARGE, _NO_JSON)
    if "{" in path:
        yield from _of((NotFoundError,))
    if "if-match" in understood:
        yield from _of(_OF_AN_EDIT)
    if "idempotency-key" in understood:
        yield from _of((IdempotencyKeyReusedError,))
    yield _SURPRISE


def _of(errors: Iterable[type[StafettError]]) -> Iterator[Refusal]:
    return (refusal_of(error, (error.__doc__ or "").partition("\n")[0].strip()) for error in errors)


def _declared(name: str) -> Refusal:
    known = {error.__name__: error for error in ANSWERS}
    if name in known:
        (refusal,) = _of((known[name],))
        return refusal
    return Refusal(HTTPStatus.CONFLICT, name, "The job cannot go on for this reason.")


def _headers(operation: Json) -> set[str]:
    return {each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header"}


_NAMES_ONE = re.compile(r"/{(\w+)}")


def link(document: Json) -> None:
    """A resource that is made or listed at a path is named at the paths below it."""
    for path, operations in document["paths"].items():
        for operation, method in ((operations[method], method) for method in ("post", "get") if method in operations):
            place = "$response.body#/id" if method == "post" else "$response.body#/items/0/id"
            links = dict(_links(document["paths"], path, place))
            for status, answer in operation["responses"].items():
                if links and status in {"200", "201", "202"}:
                    answer["links"] = links


def _links(paths: Mapping[str, Json], path: str, place: str) -> Iterator[tuple[str, Json]]:
    for other, operations in paths.items():
        named = _NAMES_ONE.match(other.removeprefix(path)) if other.startswith(f"{path}/") else None
        if named is not None:
            for operation in operations.values():
                said = {"operationId": operation["operationId"], "parameters": {named[1]: place}}
                yield operation["operationId"], said


_SPOKEN = frozenset({"example", "examples", "default", "const", "enum"})
"""What stands there is said over the wire, and no description."""


def tidy(document: Json) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            _say_no_null(operation)
            _share_refusals(operation, document["components"].setdefault("responses", {}))
    _forget_titles([document["paths"], document["components"]])


def _say_no_null(operation: Json) -> None:
    """A parameter is left out; nobody can send null for one."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        rest = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        if len(rest) == 1:
            del schema["anyOf"]
            schema.update(rest[0])


def _share_refusals(operation: Json, shared: Json) -> None:
    """What is refused for one reason alone is described once."""
    for status, answer in operation["responses"].items():
        contents = list(answer.get("content", {}).values())
        codes = [code for content in contents for code in content.get("examples", ())]
        if len(contents) == len(codes) == 1:
            shared[codes[0]] = answer
            operation["responses"][status] = {"$ref": f"#/components/responses/{codes[0]}"}


def _forget_titles(described: object) -> None:
    """Pydantic calls every field what it is called already."""
    if isinstance(described, dict):
        if isinstance(described.get("title"), str):
            del described["title"]
        for name, inner in described.items():
            if name not in _SPOKEN:
                _forget_titles(inner)
    elif isinstance(described, list):
        for inner in described:
            _forget_titles(inner)
