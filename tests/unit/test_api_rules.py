"""Nobody forgets to say who may ask."""

from typing import TypeGuard

import pytest
from fastapi import APIRouter
from starlette.routing import BaseRoute

from api.app import ROUTE_MODULES, create_app
from api.dependencies import GuardedRoute, require
from stafett.domain.errors import SettingsError
from stafett.domain.membership import PERMISSIONS_BY_ROLE, Permission, Role
from stafett.settings import Settings

OPEN_TO_ALL = {"get_liveness", "get_readiness"}


def test_a_route_that_does_not_say_who_may_ask_is_no_application() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(SettingsError, match="says who may ask for it 0 times"):
        router.get("/somewhere")(lambda: None)


def test_a_route_says_once_who_may_ask() -> None:
    router = APIRouter(route_class=GuardedRoute)
    twice = [require(Permission.READ_ORGANISATION), require(Permission.ADMINISTER)]
    with pytest.raises(SettingsError, match="2 times"):
        router.get("/somewhere", dependencies=twice)(lambda: None)


def test_every_operation_but_those_of_health_has_a_rule(settings: Settings) -> None:
    document = create_app(settings).openapi()
    operations = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    guarded = {
        route.operation_id for resource in ROUTE_MODULES for route in resource.router.routes if _has_a_rule(route)
    }
    assert operations - guarded == OPEN_TO_ALL
    assert len(guarded) > 20


def test_every_rule_lets_somebody_in() -> None:
    assert {what for role in Role for what in PERMISSIONS_BY_ROLE[role]} == set(Permission)


def _has_a_rule(route: BaseRoute) -> TypeGuard[GuardedRoute]:
    return isinstance(route, GuardedRoute) and bool(route.requirement.roles)
