"""The S3 client and the translation of its errors."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError
from pydantic import AnyHttpUrl

from stafett.domain.errors import NotFoundError, ServiceUnavailableError
from stafett.domain.thread_progress import record_step
from stafett.settings import S3Settings

S3_SERVICE = "S3"
"""The unavailable service if S3 does not respond; after a response with an error, its code follows the name."""

_NOT_FOUND_CODES = {"NoSuchKey", "NoSuchObject", "ResourceNotFound"}


class S3Timeouts(NamedTuple):
    """Seconds until a connection must be open, and until a server must respond or send more bytes."""

    connect: float
    read: float


INTERACTIVE_TIMEOUTS = S3Timeouts(connect=3, read=10)
"""For a process with waiting callers, which get their answer within some fifteen seconds."""

WORKER_TIMEOUTS = S3Timeouts(connect=5, read=20)
CANCELLATION_TIMEOUTS = S3Timeouts(connect=2, read=4)
"""For deletions that a user waits for, and that retention repeats."""


def create_s3_client(settings: S3Settings, endpoint: AnyHttpUrl, timeouts: S3Timeouts = WORKER_TIMEOUTS) -> Minio:
    """Create a client with bounded timeouts and retries."""
    url = urlsplit(str(endpoint))
    return _S3Client(
        url.netloc,
        access_key=settings.access_key,
        secret_key=settings.secret_key.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.region,
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=timeouts.connect, read=timeouts.read),
            maxsize=16,
            retries=_RetryUnlessTimedOut(2, connect=1, backoff_factor=0.2),
        ),
    )


class _RetryUnlessTimedOut(urllib3.Retry):
    """Retries after a refused or broken connection, but not when a server does not respond in time."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: urllib3.connectionpool.ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


class _S3Client(Minio):
    def _abort_multipart_upload(self, bucket_name: str, object_name: str, upload_id: str) -> None:
        """Skip the abort after an upload that got no response: it would wait as long again, and retention aborts it."""
        if not isinstance(sys.exception(), urllib3.exceptions.HTTPError):
            super()._abort_multipart_upload(bucket_name, object_name, upload_id)


@contextmanager
def translate_s3_errors() -> Iterator[None]:
    """Translate errors of S3 and the network to domain errors; each call counts as progress of its activity."""
    record_step()
    try:
        yield
        record_step()
    except S3Error as error:
        if error.code in _NOT_FOUND_CODES:
            raise NotFoundError("The object is no longer in storage.") from error
        raise ServiceUnavailableError(f"{S3_SERVICE} ({error.code})") from error
    except (ServerError, InvalidResponseError, urllib3.exceptions.HTTPError) as error:
        raise ServiceUnavailableError(S3_SERVICE) from error
