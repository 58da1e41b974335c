"""The description without what frameworks write into it: shorter to review, and better clients come out of it."""

from typing import Any

Json = dict[str, Any]
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
