"""The published description of the gateway: every operation with who may ask for it, and every way it refuses."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.dependencies import GuardedRoute
from api.problems import INVALID_REQUEST, MEDIA_TYPE, PROBLEMS, Problem, ProblemSpec, problem_spec_for
from api.schemas.bulk import BatchCreate
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
_MANUALLY_PARSED_BODIES = (BatchCreate,)  # bodies that come in more than one form
_REPLACED_SCHEMAS = ("HTTPValidationError", "ValidationError")
_RAISES_KEY = "x-raises"
_INTERNAL_ERROR = ProblemSpec(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side.")
_RATE_LIMITED = ProblemSpec(
    HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", "Too many requests; ask again in a while."
)
_METHOD_NOT_ALLOWED = ProblemSpec(
    HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "There is something there, but not for this."
)
_BODY_TOO_LARGE = ProblemSpec(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "The body is too large.")
_UNSUPPORTED_MEDIA_TYPE = ProblemSpec(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body is to be JSON."
)
_GUARDED_ROUTE_ERRORS = (UnauthenticatedError, PermissionDeniedError, ServiceUnavailableError)
_EDIT_ERRORS = (PreconditionFailedError, PreconditionRequiredError)
_RESPONSE_HEADERS = {
    "ETag": 'Of the form `"R-S"`: R counts clients\' edits, S all other change.',
    "Location": "Where the job is.",
    "Retry-After": "Ask again after so many seconds; of a job, as long as it runs.",
    "Preference-Applied": "How long was waited for, if that was preferred.",
    "X-Request-ID": "What the request is called in our logs.",
}


def raises(*errors: type[StafettError] | ExportErrorCode) -> dict[str, Any]:
    """For a route's ``openapi_extra``: what it refuses beyond what every route of its shape does."""
    return {_RAISES_KEY: [error.value if isinstance(error, ExportErrorCode) else error.__name__ for error in errors]}


def install_openapi(app: FastAPI, guarded_routes: Sequence[GuardedRoute]) -> None:
    """Have the document say it; nothing else is promised."""
    made, rules = app.openapi, {str(route.operation_id): route for route in guarded_routes}

    def openapi() -> Json:
        if app.openapi_schema is None:
            document = made()
            _extend_document(document, rules)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _extend_document(document: Json, guarded_routes: dict[str, GuardedRoute]) -> None:
    components: Json = document["components"]
    for name in _REPLACED_SCHEMAS:
        components["schemas"].pop(name, None)
    for model in (Problem, *_MANUALLY_PARSED_BODIES):
        shape = model.model_json_schema(ref_template="#/components/schemas/{model}")
        components["schemas"].update(shape.pop("$defs", {}))
        components["schemas"][model.__name__] = shape
    components["headers"] = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in _RESPONSE_HEADERS.items()
    }
    components["examples"] = {_METHOD_NOT_ALLOWED.code: _build_example("/api/v1/me", _METHOD_NOT_ALLOWED)}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
            rule = guarded_routes.get(operation["operationId"])
            if rule is not None:
                roles = ", ".join(rule.requirement.roles)
                operation["description"] = f"{operation.get('description', '')}\n\nFor: {roles}.".strip()
                operation["x-roles"] = list(rule.requirement.roles)
            _describe_responses(operation)
            _describe_problems(path, operation, components["examples"], is_guarded=rule is not None)
    add_links(document)
    simplify_document(document)


def _describe_responses(operation: Json) -> None:
    """What follows from the request headers that an operation understands."""
    answers, understood = operation["responses"], _request_headers(operation)
    if "if-none-match" in understood:
        answers["304"] = {"description": "You have it already"}
    if "prefer" in understood:
        answers["200"] = {"description": "It has ended", "content": answers["202"]["content"]}
    for status, answer in answers.items():
        if status.startswith(("2", "3")):
            names = list(_header_names(status, understood))
            answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _header_names(status: str, request_headers: set[str]) -> Iterator[str]:
    yield "X-Request-ID"
    if "prefer" in request_headers:
        yield from ("ETag", "Preference-Applied")
        if "idempotency-key" in request_headers:
            yield "Location"
    if request_headers & {"if-none-match", "if-match"}:
        yield "ETag"
    if status == "202" or "if-none-match" in request_headers:
        yield "Retry-After"


def _describe_problems(path: str, operation: Json, examples: Json, *, is_guarded: bool) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for refusal in _possible_problems(path, operation, is_guarded=is_guarded):
        described = answers.setdefault(str(int(refusal.status)), {"description": refusal.status.phrase})
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        content = described.setdefault("content", {}).setdefault(MEDIA_TYPE, schema)
        content["examples"][refusal.code] = {"$ref": f"#/components/examples/{refusal.code}"}
        examples.setdefault(refusal.code, _build_example(path, refusal))
        headers = {"X-Request-ID", *(["Retry-After"] if refusal.is_retryable else [])}
        described["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(headers)}


def _build_example(path: str, spec: ProblemSpec) -> Json:
    problem = spec.to_problem(path, trace_id="9f86d081884c7d659a2feaa0c55ad015")
    return {"summary": spec.detail, "value": problem.model_dump(mode="json")}


def _possible_problems(path: str, operation: Json, *, is_guarded: bool) -> Iterator[ProblemSpec]:
    understood = _request_headers(operation)
    yield from map(_spec_from_name, operation.pop(_RAISES_KEY, ()))
    if is_guarded:
        yield from _specs_for(_GUARDED_ROUTE_ERRORS)
        yield _RATE_LIMITED
    if operation.get("parameters") or "requestBody" in operation:
        yield INVALID_REQUEST
    if "requestBody" in operation:
        yield from (_BODY_TOO_LARGE, _UNSUPPORTED_MEDIA_TYPE)
    if "{" in path:
        yield from _specs_for((NotFoundError,))
    if "if-match" in understood:
        yield from _specs_for(_EDIT_ERRORS)
    if "idempotency-key" in understood:
        yield from _specs_for((IdempotencyKeyReusedError,))
    yield _INTERNAL_ERROR


def _specs_for(error_types: Iterable[type[StafettError]]) -> Iterator[ProblemSpec]:
    return (problem_spec_for(error, (error.__doc__ or "").partition("\n")[0].strip()) for error in error_types)


def _spec_from_name(name: str) -> ProblemSpec:
    known = {error.__name__: error for error in PROBLEMS}
    if name in known:
        (refusal,) = _specs_for((known[name],))
        return refusal
    return ProblemSpec(HTTPStatus.CONFLICT, name, "The job cannot go on for this reason.")


def _request_headers(operation: Json) -> set[str]:
    return {each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header"}


_PATH_PARAMETER = re.compile(r"/{(\w+)}")


def add_links(document: Json) -> None:
    """A resource that is made or listed at a path is named at the paths below it."""
    for path, operations in document["paths"].items():
        for operation, method in ((operations[method], method) for method in ("post", "get") if method in operations):
            place = "$response.body#/id" if method == "post" else "$response.body#/items/0/id"
            links = dict(_links_below(document["paths"], path, place))
            for status, answer in operation["responses"].items():
                if links and status in {"200", "201", "202"}:
                    answer["links"] = links


def _links_below(paths: Mapping[str, Json], path: str, id_expression: str) -> Iterator[tuple[str, Json]]:
    for other, operations in paths.items():
        named = _PATH_PARAMETER.match(other.removeprefix(path)) if other.startswith(f"{path}/") else None
        if named is not None:
            for operation in operations.values():
                said = {"operationId": operation["operationId"], "parameters": {named[1]: id_expression}}
                yield operation["operationId"], said


_LITERAL_KEYS = frozenset({"example", "examples", "default", "const", "enum"})
"""What stands there is said over the wire, and no description."""


def simplify_document(document: Json) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            _drop_null_types(operation)
            _share_problem_responses(operation, document["components"].setdefault("responses", {}))
    _remove_titles([document["paths"], document["components"]])


def _drop_null_types(operation: Json) -> None:
    """A parameter is left out; nobody can send null for one."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        rest = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        if len(rest) == 1:
            del schema["anyOf"]
            schema.update(rest[0])


def _share_problem_responses(operation: Json, shared_responses: Json) -> None:
    """What is refused for one reason alone is described once."""
    for status, answer in operation["responses"].items():
        contents = list(answer.get("content", {}).values())
        codes = [code for content in contents for code in content.get("examples", ())]
        if len(contents) == len(codes) == 1:
            shared_responses[codes[0]] = answer
            operation["responses"][status] = {"$ref": f"#/components/responses/{codes[0]}"}


def _remove_titles(node: object) -> None:
    """Pydantic calls every field what it is called already."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for name, inner in node.items():
            if name not in _LITERAL_KEYS:
                _remove_titles(inner)
    elif isinstance(node, list):
        for inner in node:
            _remove_titles(inner)
