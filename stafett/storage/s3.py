"""The S3 client and the translation of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError
from pydantic import AnyHttpUrl

from stafett.domain.errors import NotFoundError, ServiceUnavailableError
from stafett.progress import record_step
from stafett.settings import S3Settings

_NOT_FOUND_CODES = {"NoSuchKey", "NoSuchObject", "ResourceNotFound"}
_READ_TIMEOUT_SECONDS = 20
"""Not retried here, so that a server that hangs is reported before the thread counts as hanging."""


def create_s3_client(settings: S3Settings, endpoint: AnyHttpUrl) -> Minio:
    """Create a client with bounded timeouts and retries."""
    url = urlsplit(str(endpoint))
    return Minio(
        url.netloc,
        access_key=settings.access_key,
        secret_key=settings.secret_key.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.region,
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=5, read=_READ_TIMEOUT_SECONDS),
            maxsize=16,
            retries=urllib3.Retry(2, read=False, backoff_factor=0.2),
        ),
    )


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
        raise ServiceUnavailableError(f"S3 ({error.code})") from error
    except (ServerError, InvalidResponseError, urllib3.exceptions.HTTPError) as error:
        raise ServiceUnavailableError("S3") from error
