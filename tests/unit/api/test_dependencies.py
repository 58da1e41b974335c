"""Dependencies of the routes."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant

from api.app import ROUTE_MODULES
from api.dependencies import GuardedRoute


def iterate_dependencies(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for dependency in dependant.dependencies:
        assert dependency.call is not None
        yield dependency.call
        yield from iterate_dependencies(dependency)


def runs_on_the_event_loop(call: Any) -> bool:
    function = call if inspect.isroutine(call) else type(call).__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def test_no_dependency_of_a_route_takes_a_thread() -> None:
    routes = [route for module in ROUTE_MODULES for route in module.router.routes if isinstance(route, GuardedRoute)]
    dependencies = {call for route in routes for call in iterate_dependencies(route.dependant)}
    assert len(dependencies) > 10
    assert [call for call in dependencies if not runs_on_the_event_loop(call)] == []
