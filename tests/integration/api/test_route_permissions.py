"""Every route declares the permission that it requires."""

from typing import TypeGuard

import pytest
from fastapi import APIRouter
from starlette.routing import BaseRoute

from api.app import ROUTE_MODULES, create_app_with_routes
from api.dependencies import GuardedRoute, require
from stafett.domain.errors import SettingsError
from stafett.domain.membership import PERMISSIONS_BY_ROLE, Permission, Role

PUBLIC_OPERATIONS = {"get_liveness", "get_readiness"}


def test_route_without_a_permission_is_rejected() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(SettingsError, match="declares 0 permissions"):
        router.get("/somewhere")(lambda: None)


def test_route_with_two_permissions_is_rejected() -> None:
    router = APIRouter(route_class=GuardedRoute)
    permissions = [require(Permission.READ_ORGANISATION), require(Permission.ADMINISTER)]
    with pytest.raises(SettingsError, match="declares 2 permissions"):
        router.get("/somewhere", dependencies=permissions)(lambda: None)


def test_every_operation_except_health_checks_requires_a_permission() -> None:
    document = create_app_with_routes().openapi()
    operations = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    guarded = {
        route.operation_id
        for resource in ROUTE_MODULES
        for route in resource.router.routes
        if _requires_permission(route)
    }
    assert operations - guarded == PUBLIC_OPERATIONS
    assert len(guarded) > 20


def test_every_permission_belongs_to_a_role() -> None:
    assert {permission for role in Role for permission in PERMISSIONS_BY_ROLE[role]} == set(Permission)


def _requires_permission(route: BaseRoute) -> TypeGuard[GuardedRoute]:
    return isinstance(route, GuardedRoute) and bool(route.requirement.roles)
