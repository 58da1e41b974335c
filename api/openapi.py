"""The published description of the gateway, with errors as they really are."""

from typing import Any

from fastapi import FastAPI

from api.problems import MEDIA_TYPE, Problem

Json = dict[str, Any]
_REPLACED = ("HTTPValidationError", "ValidationError")


def describe_problems(app: FastAPI) -> None:
    """Every error of every operation is a problem document, and nothing else is promised."""
    made = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            document = made()
            _describe(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _describe(document: Json) -> None:
    schemas: Json = document["components"]["schemas"]
    for name in _REPLACED:
        schemas.pop(name, None)
    shape = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(shape.pop("$defs", {}))
    schemas["Problem"] = shape
    problem = {
        "description": "A problem (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
