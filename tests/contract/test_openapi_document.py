"""The OpenAPI document is complete, reviewed as docs/openapi.json, and consistent with docs/api.md."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import jsonschema
import pytest
from pydantic import BaseModel

from api.app import ROUTE_MODULES
from api.dependencies import GuardedRoute
from api.problems import EXPORT_PROBLEMS, HTTP_PROBLEMS, PROBLEMS
from api.schemas.descriptions import COMPONENT_DESCRIPTIONS
from api.schemas.webhook_messages import BulkRegistrationEndedMessage, ExportEndedMessage, ReexportEndedMessage
from stafett.cli.services import render_openapi
from stafett.database.tables import Delivery, Notification
from stafett.domain.bulk_status import BULK_FINAL_STATUSES
from stafett.domain.export_status import EXPORT_FINAL_STATUSES
from stafett.domain.notification import Channel, JobOutcome, JobType
from stafett.domain.reexport_status import REEXPORT_FINAL_STATUSES
from stafett.notifications.deliveries import build_outcome_payload, build_test_payload
from tests.support.openapi_document import Json, iterate_operations, load_document

_OPERATIONS = {operation.id: operation for operation in iterate_operations()}
_CODES_WITHOUT_ERROR_CLASS = {"invalid_request", "too_many_requests", "internal"}
every_operation = pytest.mark.parametrize("operation_id", sorted(_OPERATIONS))


def resolve(spec: Json) -> Json:
    """Follow references until an object is not a reference."""
    while "$ref" in spec:
        target: Json = load_document()
        for key in spec["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        spec = target
    return spec


def iterate_fields(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield the fields of a schema and of the schemas nested in it, by their paths."""
    schema = resolve(schema)
    for name, field in schema.get("properties", {}).items():
        yield f"{path}/{name}", field
        yield from iterate_fields(field, f"{path}/{name}")
    for nested in (
        *schema.get("anyOf", ()),
        *(schema[key] for key in ("items", "additionalProperties") if key in schema),
    ):
        if isinstance(nested, dict):
            yield from iterate_fields(nested, path)


def get_examples() -> Mapping[str, Json]:
    examples: Mapping[str, Json] = load_document()["components"]["examples"]
    return examples


def iterate_referenced_examples() -> Iterator[str]:
    """Yield the names of the examples that responses refer to."""
    for operation in _OPERATIONS.values():
        for response in operation.spec["responses"].values():
            for content in resolve(response).get("content", {}).values():
                yield from content.get("examples", {})


def test_openapi_document_equals_the_reviewed_file(project: Path) -> None:
    reviewed = (project / "docs" / "openapi.json").read_text("utf-8")
    assert reviewed == f"{render_openapi()}\n", "update it: .venv/bin/python -m stafett openapi > docs/openapi.json"


def test_every_problem_has_an_example() -> None:
    specs = (*PROBLEMS.values(), *EXPORT_PROBLEMS.values(), *HTTP_PROBLEMS.values())
    codes = {spec.code for spec in specs} | _CODES_WITHOUT_ERROR_CLASS
    assert codes <= get_examples().keys()
    assert get_examples().keys() - {"method_not_allowed"} == set(iterate_referenced_examples())


def test_every_example_is_a_problem() -> None:
    schema = {**load_document()["components"]["schemas"]["Problem"], "components": load_document()["components"]}
    for code, example in get_examples().items():
        jsonschema.validate(example["value"], schema)
        assert example["value"]["code"] == code


def test_api_guide_lists_every_problem_with_its_status(project: Path) -> None:
    page = (project / "docs" / "api.md").read_text("utf-8")
    listed = {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page, re.MULTILINE)}
    of_connections = {"bad_request": 400}  # of no operation
    assert listed == {code: example["value"]["status"] for code, example in get_examples().items()} | of_connections


@every_operation
def test_every_operation_has_summary_description_and_tags(operation_id: str) -> None:
    spec = _OPERATIONS[operation_id].spec
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation_id)
    assert spec["summary"]
    assert spec["description"].partition("\n\nRoles: ")[0]
    assert spec["tags"]
    assert all(resolve(response)["description"] for response in spec["responses"].values())


def test_no_operation_has_a_docstring_as_description() -> None:
    """FastAPI would publish the docstring of a handler whose route has no description."""
    routes = [route for module in ROUTE_MODULES for route in module.router.routes if isinstance(route, GuardedRoute)]
    assert [route.operation_id for route in routes if route.endpoint.__doc__ is not None] == []


def test_every_component_has_a_description() -> None:
    descriptions = {name: schema["description"] for name, schema in load_document()["components"]["schemas"].items()}
    assert descriptions == COMPONENT_DESCRIPTIONS


@every_operation
def test_every_parameter_has_a_description(operation_id: str) -> None:
    parameters = _OPERATIONS[operation_id].spec.get("parameters", [])
    assert [parameter["name"] for parameter in parameters if not parameter.get("description")] == []


@pytest.mark.parametrize(
    "operation_id", [name for name, operation in _OPERATIONS.items() if "requestBody" in operation.spec]
)
def test_every_field_of_a_request_body_has_a_description(operation_id: str) -> None:
    content = resolve(_OPERATIONS[operation_id].spec["requestBody"])["content"]
    fields = {name: field for body in content.values() for name, field in iterate_fields(body["schema"])}
    assert [name for name, field in fields.items() if not field.get("description")] == []


@pytest.mark.parametrize(
    "operation_id",
    [
        name
        for name, operation in _OPERATIONS.items()
        if "application/json" in resolve(operation.spec.get("requestBody", {})).get("content", {})
    ],
)
def test_every_json_body_has_valid_examples(operation_id: str) -> None:
    body = resolve(_OPERATIONS[operation_id].spec["requestBody"])["content"]["application/json"]["schema"]
    schema = {**resolve(body), "components": load_document()["components"]}
    assert schema["examples"]
    for example in schema["examples"]:
        jsonschema.validate(example, schema)


def test_operation_ids_are_unique() -> None:
    assert len(_OPERATIONS) == len(list(iterate_operations()))


def test_every_link_names_an_operation_and_its_parameters() -> None:
    link_count = 0
    for operation in _OPERATIONS.values():
        for response in operation.spec["responses"].values():
            for link in resolve(response).get("links", {}).values():
                assert set(link["parameters"]) <= set(_OPERATIONS[link["operationId"]].path_parameters)
                link_count += 1
    assert link_count > 20


def _build_messages() -> dict[str, Json]:
    """Build the messages of the document's webhooks, one for each type of job, as deliveries do."""
    now, some_id = datetime(2026, 11, 29, tzinfo=UTC), uuid4()

    def build(job_type: JobType) -> Json:
        row = Notification(
            id=some_id,
            org_id="nhf",
            user_id=some_id,
            kind=f"{job_type}_ended",
            subject_kind=job_type,
            subject_id=some_id,
            attempt=1,
            status=JobOutcome.COMPLETED,
            created_at=now,
        )
        return build_outcome_payload(row)

    messages = {f"{job_type.replace('_', '-')}-ended": build(job_type) for job_type in JobType}
    test = Delivery(id=some_id, org_id="nhf", webhook_id=some_id, channel=Channel.WEBHOOK, created_at=now)
    return messages | {"test": build_test_payload(test)}


def test_webhooks_have_the_schemas_of_the_messages() -> None:
    messages, webhooks = _build_messages(), load_document()["webhooks"]
    assert messages.keys() == webhooks.keys()
    for name, message in messages.items():
        operation = webhooks[name]["post"]
        assert {header["name"] for header in operation["parameters"]} == {
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        }
        schema = resolve(operation["requestBody"]["content"]["application/json"]["schema"])
        jsonschema.validate(message, {**schema, "components": load_document()["components"]})
        assert message.keys() == schema["properties"].keys()
        assert message["data"].keys() == resolve(schema["properties"]["data"])["properties"].keys()


@pytest.mark.parametrize(
    ("job_type", "model", "final_statuses"),
    [
        (JobType.EXPORT, ExportEndedMessage, EXPORT_FINAL_STATUSES),
        (JobType.REEXPORT, ReexportEndedMessage, REEXPORT_FINAL_STATUSES),
        (JobType.BULK_REGISTRATION, BulkRegistrationEndedMessage, BULK_FINAL_STATUSES),
    ],
)
def test_types_of_messages_are_the_outcomes_of_the_job(
    job_type: JobType, model: type[BaseModel], final_statuses: Collection[str]
) -> None:
    types = set(model.model_json_schema()["properties"]["type"]["enum"])
    assert types == {f"{job_type}.{status}" for status in final_statuses}
