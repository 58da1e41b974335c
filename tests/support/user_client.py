"""A client of the API as one caller."""

from dataclasses import dataclass

import httpx

from stafett.testing import Json


@dataclass(frozen=True)
class UserClient:
    """Requests of one caller, each with an expected status."""

    http_client: httpx.AsyncClient
    headers: dict[str, str]

    async def request(self, method: str, path: str, status: int, **options: object) -> Json:
        headers = self.headers | options.pop("headers", {})  # type: ignore[operator]  # a dictionary, if it is given
        response = await self.http_client.request(method, f"/api/v1{path}", headers=headers, **options)  # type: ignore[arg-type]  # httpx's own options
        assert response.status_code == status, response.text
        body: Json = response.json() if response.content else {}
        return body
