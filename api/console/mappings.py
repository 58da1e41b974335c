"""The pages of the column mapping's versions: what is in force, one version, and the comparison of two."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.concurrency import run_in_threadpool
from api.console.languages import choose_language
from api.console.mapping_words import name_differences
from api.console.pages import render_page
from api.console.security import create_page_headers
from api.console.services import ADMIN_PATH
from api.console.sessions import ActiveSession, Administrator
from api.dependencies import Services, ServicesDep
from stafett.column_mapper.differences import compare_documents
from stafett.database.tables import ColumnMappingVersion
from stafett.domain.errors import NotFoundError
from stafett.domain.reporting_period import OSLO

MAPPING_PATH = f"{ADMIN_PATH}/mapping"
router = APIRouter(prefix=MAPPING_PATH)
_MAX_VERSION = 2**31 - 1
Version = Annotated[int, Path(ge=1, le=_MAX_VERSION)]
ChosenVersion = Annotated[int, Query(ge=1, le=_MAX_VERSION)]


@router.get("")
async def list_versions(
    request: Request, session: Administrator, services: ServicesDep, notice: Annotated[str, Query()] = ""
) -> Response:
    values = await run_in_threadpool(_load_versions, session, services)
    return render_page(request, "mappings.html", session=session, notice=notice, **values)


@router.get("/versions/{version}")
async def show_version(request: Request, session: Administrator, services: ServicesDep, version: Version) -> Response:
    details = await run_in_threadpool(services.mappings.get_version, session.caller, session.org_id, version)
    in_force = await run_in_threadpool(load_in_force, session, services)
    return render_page(request, "mapping.html", session=session, mapping=details.mapping, in_force=in_force)


@router.get("/versions/{version}/document.json")
async def download_document(session: Administrator, services: ServicesDep, version: Version) -> Response:
    details = await run_in_threadpool(services.mappings.get_version, session.caller, session.org_id, version)
    headers = {"Content-Disposition": f'attachment; filename="column-mapping-{version}.json"'}
    content = json.dumps(details.mapping.document, ensure_ascii=False, indent=2)
    return Response(content, media_type="application/json", headers=create_page_headers(session) | headers)


@router.get("/compare")
async def compare_versions(
    request: Request, session: Administrator, services: ServicesDep, first: ChosenVersion, second: ChosenVersion
) -> Response:
    def load(version: int) -> ColumnMappingVersion:
        return services.mappings.get_version(session.caller, session.org_id, version).mapping

    before, after = await run_in_threadpool(load, first), await run_in_threadpool(load, second)
    found = await run_in_threadpool(compare_documents, before.document, after.document)
    differences = name_differences(found, before.document, after.document, choose_language(request))
    return render_page(
        request, "compare_mappings.html", session=session, before=before, after=after, differences=differences
    )


def load_in_force(session: ActiveSession, services: Services) -> ColumnMappingVersion | None:
    """Load the version that is in force today, if there is one."""
    today = services.clock().astimezone(OSLO).date()
    try:
        return services.mappings.get_effective(session.caller, session.org_id, today).mapping
    except NotFoundError:
        return None


def _load_versions(session: ActiveSession, services: Services) -> dict[str, Any]:
    versions = services.mappings.list_versions(session.caller, session.org_id)
    return {"versions": versions, "in_force": load_in_force(session, services)}
