"""Every page of the console is described in docs/console.md, and measured by the benchmark of pages."""

import pkgutil
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from fastapi import APIRouter
from fastapi.routing import APIRoute

import api.console
from benchmarks.pages import PAGES

DOCUMENT = Path(__file__).parents[3] / "docs" / "console.md"
NO_PAGE = re.compile(r"/static/|/callback$|/login/{|/events$|/file$|\.csv$|\.json$|^/$")


def list_pages() -> set[str]:
    """List the addresses of pages that a browser can open, without the types of their parameters."""
    modules = [import_module(f"api.console.{each.name}") for each in pkgutil.iter_modules(api.console.__path__)]
    routers = [each.router for each in modules if isinstance(getattr(each, "router", None), APIRouter)]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return remove_types(
        route.path for route in routes if "GET" in (route.methods or ()) and not NO_PAGE.search(route.path)
    )


def remove_types(addresses: Iterable[str]) -> set[str]:
    return {re.sub(r":\w+}", "}", address) for address in addresses}


def test_pages_are_found() -> None:
    assert len(list_pages()) > 40


def test_document_of_the_console_has_every_page() -> None:
    documented = set(re.findall(r"`(/console[^`]*)`", DOCUMENT.read_text(encoding="utf-8")))
    assert list_pages() - documented == set()


def test_benchmark_measures_every_page() -> None:
    assert list_pages() - remove_types(page.route for page in PAGES) == set()
