"""What the gateway offers, for whoever writes a client."""

import json

import typer


def openapi() -> None:
    """Print the description of the HTTP API, an OpenAPI document."""
    typer.echo(render_openapi())


def render_openapi() -> str:
    """In an order that shows in review what has changed, and nothing else."""
    from api.app import create_app_with_routes

    return json.dumps(create_app_with_routes().openapi(), indent=1, sort_keys=True, ensure_ascii=False)
