"""The OpenAPI document: adds roles, response headers, problems and links to what FastAPI generates."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.routing import Route

from api.dependencies import GuardedRoute
from api.problems import (
    BODY_TOO_LARGE,
    EXPORT_PROBLEMS,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    PROBLEMS,
    TOO_MANY_REQUESTS,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
    ProblemSpec,
)
from api.schemas.bulk import BatchCreate
from api.schemas.descriptions import COMPONENT_DESCRIPTIONS
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
_MANUALLY_PARSED_BODIES = (BatchCreate,)  # FastAPI does not see these: the body is JSON or CSV
_REPLACED_SCHEMAS = ("HTTPValidationError", "ValidationError")
_RAISES_KEY = "x-raises"
_GUARDED_ROUTE_ERRORS = (UnauthenticatedError, PermissionDeniedError, ServiceUnavailableError)
_RESPONSE_HEADERS = {
    "ETag": 'Strong entity tag of the form `"R-S"`: R counts clients\' edits, S identifies every other change.',
    "Location": "Path of the job.",
    "Retry-After": "Seconds to wait before the next request. On a job, present until it has finished.",
    "Preference-Applied": "The `wait` preference that was applied, in seconds.",
    "X-Request-ID": "Id of the request in the logs.",
}


def raises(*errors: type[StafettError] | ExportErrorCode) -> dict[str, Any]:
    """Declare problems of a route, in its ``openapi_extra``, beyond those that follow from its parameters and body."""
    return {_RAISES_KEY: [error.value if isinstance(error, ExportErrorCode) else error.__name__ for error in errors]}


def install_openapi(app: FastAPI, guarded_routes: Sequence[GuardedRoute]) -> None:
    """Extend the document that FastAPI generates for ``app``."""
    generate, routes = app.openapi, {str(route.operation_id): route for route in guarded_routes}

    def openapi() -> Json:
        if app.openapi_schema is None:
            document = generate()
            _extend_document(document, routes)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation does it
    _cache_rendered_document(app)


def _cache_rendered_document(app: FastAPI) -> None:
    """Render the document once: FastAPI does so for each request, in milliseconds, and a request needs no token."""
    rendered: dict[str, bytes] = {}

    async def serve_document(request: Request) -> Response:
        root_path = request.scope.get("root_path", "").rstrip("/")
        if root_path not in rendered:
            servers = {"servers": [{"url": root_path}]} if root_path else {}
            rendered[root_path] = bytes(JSONResponse(app.openapi() | servers).body)
        return Response(rendered[root_path], media_type="application/json")

    app.router.routes.insert(0, Route(str(app.openapi_url), serve_document, include_in_schema=False))


def _extend_document(document: Json, guarded_routes: dict[str, GuardedRoute]) -> None:
    components: Json = document["components"]
    for name in _REPLACED_SCHEMAS:
        components["schemas"].pop(name, None)
    for model in (Problem, *_MANUALLY_PARSED_BODIES):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        components["schemas"].update(schema.pop("$defs", {}))
        components["schemas"][model.__name__] = schema
    _describe_components(components["schemas"])
    components["headers"] = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in _RESPONSE_HEADERS.items()
    }
    components["examples"] = {METHOD_NOT_ALLOWED.code: _build_example("/api/v1/me", METHOD_NOT_ALLOWED)}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            route = guarded_routes.get(operation["operationId"])
            if route is not None:
                roles = ", ".join(route.requirement.roles)
                operation["description"] = f"{operation.get('description', '')}\n\nRoles: {roles}.".strip()
                operation["x-roles"] = list(route.requirement.roles)
            _describe_responses(operation)
            _describe_problems(path, operation, components["examples"], is_guarded=route is not None)
    for webhook in document["webhooks"].values():
        webhook["post"]["responses"].pop("422")
    add_links(document)
    simplify_document(document)


def _describe_components(schemas: Json) -> None:
    """Replace the docstrings that Pydantic takes for descriptions by texts for client authors."""
    for name, schema in schemas.items():
        schema.pop("description", None)
        if name in COMPONENT_DESCRIPTIONS:
            schema["description"] = COMPONENT_DESCRIPTIONS[name]


def _describe_responses(operation: Json) -> None:
    """Add the responses and headers that follow from the request headers of an operation."""
    responses, request_headers = operation["responses"], _collect_request_headers(operation)
    if "if-none-match" in request_headers:
        responses["304"] = {"description": "Not modified: the client has the current state"}
    if "prefer" in request_headers:
        responses["200"] = {"description": "The job has finished", "content": responses["202"]["content"]}
    for status, response in responses.items():
        if status.startswith(("2", "3")):
            names = list(_iterate_header_names(status, request_headers))
            response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _iterate_header_names(status: str, request_headers: set[str]) -> Iterator[str]:
    yield "X-Request-ID"
    if "prefer" in request_headers:
        yield from ("ETag", "Preference-Applied")
        if "idempotency-key" in request_headers:
            yield "Location"
    if request_headers & {"if-none-match", "if-match"} and status != "204":
        yield "ETag"
    if status == "202" or "if-none-match" in request_headers:
        yield "Retry-After"


def _describe_problems(path: str, operation: Json, examples: Json, *, is_guarded: bool) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for problem in _iterate_problems(path, operation, is_guarded=is_guarded):
        response = responses.setdefault(str(int(problem.status)), {"description": problem.status.phrase})
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        content = response.setdefault("content", {}).setdefault(MEDIA_TYPE, schema)
        content["examples"][problem.code] = {"$ref": f"#/components/examples/{problem.code}"}
        examples.setdefault(problem.code, _build_example(path, problem))
        headers = {"X-Request-ID", *(["Retry-After"] if problem.is_retryable else [])}
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(headers)}


def _build_example(path: str, spec: ProblemSpec) -> Json:
    problem = spec.to_problem(path, trace_id="9f86d081884c7d659a2feaa0c55ad015")
    return {"summary": spec.detail, "value": problem.model_dump(mode="json")}


def _iterate_problems(path: str, operation: Json, *, is_guarded: bool) -> Iterator[ProblemSpec]:
    request_headers = _collect_request_headers(operation)
    yield from map(_get_declared_problem, operation.pop(_RAISES_KEY, ()))
    if is_guarded:
        yield from (PROBLEMS[error] for error in _GUARDED_ROUTE_ERRORS)
        yield TOO_MANY_REQUESTS
    if operation.get("parameters") or "requestBody" in operation:
        yield INVALID_REQUEST
    if "requestBody" in operation:
        yield from (BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
    if "{" in path:
        yield PROBLEMS[NotFoundError]
    if "if-match" in request_headers:
        yield PROBLEMS[PreconditionFailedError]
        if "requestBody" in operation:  # the header is optional for a deletion
            yield PROBLEMS[PreconditionRequiredError]
    if "idempotency-key" in request_headers:
        yield PROBLEMS[IdempotencyKeyReusedError]
    yield INTERNAL_ERROR


def _get_declared_problem(name: str) -> ProblemSpec:
    """Find what ``raises`` declared: an error class by its name, or an export's error code."""
    problems_by_name = {error.__name__: problem for error, problem in PROBLEMS.items()}
    return problems_by_name.get(name) or EXPORT_PROBLEMS[ExportErrorCode(name)]


def _collect_request_headers(operation: Json) -> set[str]:
    return {each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header"}


_PATH_PARAMETER = re.compile(r"/{(\w+)}")


def add_links(document: Json) -> None:
    """Link the operations that create or list a resource to those that take its id in their paths."""
    for path, operations in document["paths"].items():
        for operation, method in ((operations[method], method) for method in ("post", "get") if method in operations):
            id_expression = "$response.body#/id" if method == "post" else "$response.body#/items/0/id"
            links = dict(_iterate_links(document["paths"], path, id_expression))
            for status, response in operation["responses"].items():
                if links and status in {"200", "201", "202"}:
                    response["links"] = links


def _iterate_links(paths: Mapping[str, Json], path: str, id_expression: str) -> Iterator[tuple[str, Json]]:
    for target_path, operations in paths.items():
        parameter = (
            _PATH_PARAMETER.match(target_path.removeprefix(path)) if target_path.startswith(f"{path}/") else None
        )
        if parameter is not None:
            for operation in operations.values():
                link = {"operationId": operation["operationId"], "parameters": {parameter[1]: id_expression}}
                yield operation["operationId"], link


_LITERAL_KEYS = frozenset({"example", "examples", "default", "const", "enum"})
"""Values of these keys are data, in which `title` is a field and no annotation."""


def simplify_document(document: Json) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            _drop_null_types(operation)
            _share_problem_responses(operation, document["components"].setdefault("responses", {}))
    _remove_titles([document["paths"], document["webhooks"], document["components"]])


def _drop_null_types(operation: Json) -> None:
    """Remove `null` from parameters' types: a client omits a parameter and cannot send null for it."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        alternatives = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        if len(alternatives) == 1:
            del schema["anyOf"]
            schema.update(alternatives[0])


def _share_problem_responses(operation: Json, shared_responses: Json) -> None:
    """Replace responses with a single problem by references to shared components."""
    for status, response in operation["responses"].items():
        contents = list(response.get("content", {}).values())
        codes = [code for content in contents for code in content.get("examples", ())]
        if len(contents) == len(codes) == 1:
            shared_responses[codes[0]] = response
            operation["responses"][status] = {"$ref": f"#/components/responses/{codes[0]}"}


def _remove_titles(node: object) -> None:
    """Remove the titles that Pydantic derives from field names."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for name, child in node.items():
            if name not in _LITERAL_KEYS:
                _remove_titles(child)
    elif isinstance(node, list):
        for child in node:
            _remove_titles(child)
