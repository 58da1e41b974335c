"""What the gateway offers, for whoever writes a client."""

import json

import typer


def openapi() -> None:
    """Print the description of the HTTP API: an OpenAPI document."""
    from api.app import described_routes

    document = described_routes().openapi()
    typer.echo(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False))
