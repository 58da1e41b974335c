"""The user's own notifications: that jobs have finished, and whether an email was sent."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.pages import render_page
from api.console.security import SessionForm
from api.console.services import BULK_PATH, EXPORTS_PATH, NOTIFICATIONS_PATH, REEXPORTS_PATH
from api.console.sessions import CurrentSession
from api.dependencies import ServicesDep
from api.schemas.notifications import NotificationResource
from stafett.database.pagination import PageToken
from stafett.domain.notification import JobType
from stafett.notifications.inbox import NotificationFilter

router = APIRouter(prefix=NOTIFICATIONS_PATH)
_PATHS = {
    JobType.EXPORT: EXPORTS_PATH,
    JobType.REEXPORT: REEXPORTS_PATH,
    JobType.BULK_REGISTRATION: BULK_PATH,
}


@router.get("")
async def list_notifications(
    request: Request, session: CurrentSession, services: ServicesDep, page_token: PageToken = None
) -> Response:
    page = await run_in_threadpool(services.inbox.list, session.caller, NotificationFilter(page_token=page_token))
    notifications = [NotificationResource.from_details(details) for details in page.items]
    job_ids = [notification.subject.id for notification in notifications]
    return render_page(
        request,
        "notifications.html",
        session=session,
        notifications=notifications,
        titles=await run_in_threadpool(services.job_titles.load, session.caller, job_ids),
        paths=_PATHS,
        next_page_token=page.next_page_token,
    )


@router.post("/{notification_id:uuid}/read")
async def read_notification(
    request: Request, session: CurrentSession, _form: SessionForm, services: ServicesDep, notification_id: UUID
) -> Response:
    await run_in_threadpool(services.inbox.mark_read, session.caller, notification_id)
    return redirect(request, NOTIFICATIONS_PATH)
