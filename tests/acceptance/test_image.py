"""The container image: it builds, and its processes migrate a database and export a report."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio

from stafett.testing import ActivityFactory, ExportClient, Tenant, wait_until
from tests.support.container_image import ContainerImage, can_build_images
from tests.support.dev_stack import DevStack, open_http_client, run_dev_stack
from tests.support.fixture_types import Bearer

_REPOSITORY = Path(__file__).parents[2]
_KEY_FILE = "STAFETT_AUDIT__SIGNING_KEY_FILE"

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not can_build_images(), reason="needs root, buildah and debootstrap"),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> ContainerImage:
    image = ContainerImage(tmp_path_factory.mktemp("image"))
    image.build(_REPOSITORY)
    return image


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    """A stack that other tests do not use, because the image's worker takes over its schedules."""
    async with run_dev_stack(tmp_path_factory.mktemp("stack-of-image") / "data") as stack:
        yield stack


@pytest.fixture
def new_database_url(owner_url: str) -> Iterator[str]:
    name = f"image_{uuid4().hex}"
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield f"{owner_url.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def test_image_migrates_an_empty_database(image: ContainerImage, new_database_url: str) -> None:
    variables = {"STAFETT_DATABASE__OWNER_URL": new_database_url}
    (await image.run("migrate", env=variables)).require_success()
    with psycopg.connect(new_database_url) as connection:
        assert connection.execute("SELECT count(*) FROM exports").fetchone() == (0,)


async def test_api_and_worker_of_the_image_export_a_report(
    image: ContainerImage, dev_stack: DevStack, tenant: Tenant, bearer: Bearer, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pids, url = dev_stack.stack_json["pids"], f"http://127.0.0.1:{port}"
    own = {"STAFETT_TEMPORAL__TASK_QUEUE": f"image-{uuid4().hex}"}
    of_api = own | {"STAFETT_API__HOST": "127.0.0.1", "STAFETT_API__PORT": str(port)}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(image.serve("api", env=_read_variables(pids["api"]) | of_api))
        await stack.enter_async_context(image.serve("worker", env=_read_variables(pids["worker"][0]) | own))
        http = await stack.enter_async_context(open_http_client(url))
        await wait_until(lambda: _is_ready(http), bool)
        client = ExportClient(http, tenant.org_id, bearer(tenant.coordinator))
        export = await client.wait_for_completion(await client.start_export(export_format="xlsx"))
    assert (export["status"], export["row_count"]) == ("completed", 1)


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).is_success
    except httpx.TransportError:
        return False


def _read_variables(pid: int) -> dict[str, str]:
    """Read the variables of a process of the stack; a key comes as text, because the container has no such file."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    variables = dict(entry.split("=", 1) for entry in entries if entry.startswith("STAFETT_"))
    variables.pop("STAFETT_METRICS__PORT", None)  # the process listens there
    if _KEY_FILE in variables:
        pem = Path(variables.pop(_KEY_FILE)).read_text().splitlines()
        variables[_KEY_FILE.removesuffix("_FILE")] = "".join(pem[1:-1])
    return variables
