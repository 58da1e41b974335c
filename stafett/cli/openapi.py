"""``stafett openapi``: the OpenAPI document of the API."""

import json

from stafett.cli.terminal import print_file


def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    print_file(f"{render_openapi()}\n")


def render_openapi() -> str:
    """Render the document with sorted keys, so that a diff shows only what has changed."""
    from api.app import create_app_with_routes

    return json.dumps(create_app_with_routes().openapi(), indent=1, sort_keys=True, ensure_ascii=False)
