"""The description as a product: complete, examined by review, and told in docs/api.md."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema
import pytest

from api.problems import HTTP_CODES, PROBLEMS
from stafett.cli.openapi import render_openapi
from tests.gateway.document import Json, document, operations

_OPERATIONS = {operation.id: operation for operation in operations()}
_OF_NO_ERROR = {"invalid_request", "too_many_requests", "internal"}
every_operation = pytest.mark.parametrize("operation_id", sorted(_OPERATIONS))


def resolved(described: Json) -> Json:
    """What a reference leads to."""
    while "$ref" in described:
        place: Json = document()
        for step in described["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        described = place
    return described


def examples() -> Mapping[str, Json]:
    found: Mapping[str, Json] = document()["components"]["examples"]
    return found


def used() -> Iterator[str]:
    """The examples that answers refer to."""
    for operation in _OPERATIONS.values():
        for answer in operation.described["responses"].values():
            for content in resolved(answer).get("content", {}).values():
                yield from content.get("examples", {})


def test_what_is_published_is_what_was_reviewed(project: Path) -> None:
    """Renew it with ``.venv/bin/python -m stafett openapi > docs/openapi.json``."""
    reviewed = (project / "docs" / "openapi.json").read_text("utf-8")
    assert reviewed == f"{render_openapi()}\n", "renew it: .venv/bin/python -m stafett openapi > docs/openapi.json"


def test_every_problem_has_an_example() -> None:
    codes = {code for _, code in PROBLEMS.values()} | set(HTTP_CODES.values()) | _OF_NO_ERROR
    assert codes <= examples().keys()
    assert examples().keys() - {"method_not_allowed"} == set(used())


def test_every_example_is_a_problem() -> None:
    shape = {**document()["components"]["schemas"]["Problem"], "components": document()["components"]}
    for code, example in examples().items():
        jsonschema.validate(example["value"], shape)
        assert example["value"]["code"] == code


def test_the_page_for_client_authors_knows_every_problem(project: Path) -> None:
    page = (project / "docs" / "api.md").read_text("utf-8")
    told = {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page, re.MULTILINE)}
    assert told == {code: example["value"]["status"] for code, example in examples().items()}


@every_operation
def test_every_operation_is_told_in_words(operation_id: str) -> None:
    described = _OPERATIONS[operation_id].described
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation_id)
    assert described["description"]
    assert described["tags"]
    assert all(resolved(answer)["description"] for answer in described["responses"].values())


@pytest.mark.parametrize("operation_id", [each for each, one in _OPERATIONS.items() if "requestBody" in one.described])
def test_every_body_has_an_example_that_is_one(operation_id: str) -> None:
    body = resolved(_OPERATIONS[operation_id].described["requestBody"])["content"]["application/json"]["schema"]
    schema = {**resolved(body), "components": document()["components"]}
    assert schema["examples"]
    for example in schema["examples"]:
        jsonschema.validate(example, schema)


def test_operations_are_called_differently() -> None:
    assert len(_OPERATIONS) == len(list(operations()))


def test_every_link_leads_somewhere() -> None:
    linked = 0
    for operation in _OPERATIONS.values():
        for answer in operation.described["responses"].values():
            for link in resolved(answer).get("links", {}).values():
                assert set(link["parameters"]) <= set(_OPERATIONS[link["operationId"]].names)
                linked += 1
    assert linked > 20
