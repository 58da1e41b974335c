"""Requests to an S3 server that accepts them and does not answer."""

from collections.abc import Callable

import pytest

from stafett.domain.errors import ServiceUnavailableError
from stafett.storage.files import FileStorage
from stafett.storage.s3 import INTERACTIVE_TIMEOUTS, WORKER_TIMEOUTS
from tests.support.hanging_server import HangingServer

KEY = "exports/nhf/report.csv"
REQUESTS: dict[str, Callable[[FileStorage], object]] = {
    "GET": lambda storage: storage.read(KEY),
    "PUT": lambda storage: storage.write(KEY, [b"rows"]),
    "HEAD": lambda storage: storage.has_object(KEY),
    "POST": lambda storage: storage.delete([KEY]),
    "LIST": lambda storage: storage.delete_prefix(KEY),
}


@pytest.mark.parametrize("request_to_s3", REQUESTS.values(), ids=REQUESTS)
def test_request_without_a_response_is_not_repeated(request_to_s3: Callable[[FileStorage], object]) -> None:
    with HangingServer() as server:
        with pytest.raises(ServiceUnavailableError, match="S3"):
            request_to_s3(server.storage)
        assert len(server.collect_methods()) == 1


def test_upload_that_gets_no_response_is_not_aborted() -> None:
    """The abort would wait for as long again; retention aborts what remains."""
    part = b"x" * 8 * 1024 * 1024
    with HangingServer(starts_uploads=True) as server:
        with pytest.raises(ServiceUnavailableError, match="S3"):
            server.storage.write("report", [part, part])
        assert server.collect_methods() == ["POST", "PUT"]


def test_worker_and_api_give_up_within_their_limits() -> None:
    assert WORKER_TIMEOUTS.read == 20
    assert sum(INTERACTIVE_TIMEOUTS) < 16
    assert 2 * WORKER_TIMEOUTS.connect <= 20
