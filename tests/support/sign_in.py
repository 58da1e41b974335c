"""Sign-in over HTTP: an issuer that can misbehave, and a browser as far as forms, redirects and cookies need one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx
from pydantic import SecretStr

from stafett.devstack.identity_provider import serve_issuer
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.sign_in import CLIENT_ID, DevSignIn, DevUser
from stafett.settings import IssuerSettings
from stafett.testing import Tenant
from tests.support.dev_stack import open_http_client

SESSIONS = "/console/sessions"


class HostileSignIn(DevSignIn):
    """The development issuer, which tests can make send other claims, tokens and metadata."""

    def __init__(self, folder: Path, users: list[DevUser]) -> None:
        issuer = DevIssuer(folder)
        issuer.ensure_keys()
        super().__init__(issuer, users)
        self.claims: dict[str, Any] = {}
        """Claims that replace the valid ones; the value ``...`` removes a claim."""
        self.metadata: dict[str, Any] = {}
        self.id_token: str | None = None
        self.issued_id_tokens: list[str] = []

    def create_claims(self, user: DevUser, nonce: str) -> dict[str, Any]:
        claims = super().create_claims(user, nonce) | self.claims
        return {name: value for name, value in claims.items() if value is not ...}

    def discovery_document(self) -> dict[str, Any]:
        return super().discovery_document() | self.metadata

    def redeem_code(self, request: Any, authorization: str) -> dict[str, Any]:
        response = super().redeem_code(request, authorization)
        self.issued_id_tokens.append(response["id_token"])
        return response | ({} if self.id_token is None else {"id_token": self.id_token})

    def issuer_settings(self, organisations: Any = "all", **fields: Any) -> IssuerSettings:
        return IssuerSettings(
            url=self.issuer.url,
            client_id=CLIENT_ID,
            client_secret=SecretStr(self.client_secret),
            label=f"Issuer {self.issuer.url}",
            organisations=organisations,
            **fields,
        )


@contextmanager
def run_issuer(folder: Path, users: list[DevUser]) -> Iterator[HostileSignIn]:
    """Serve an issuer of these users during a block."""
    sign_in = HostileSignIn(folder, users)
    with serve_issuer(sign_in, 0) as url:
        sign_in.issuer.set_url(url)
        yield sign_in


def list_users(tenant: Tenant) -> list[DevUser]:
    return [DevUser(user_id, f"{role}@{tenant.org_id}.example", role) for role, user_id in tenant.users.items()]


@dataclass
class ConsoleBrowser:
    """A browser with cookies of its own at the console's origin."""

    origin: str
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = open_http_client(self.origin)
        self.http.cookies.set("stafett-lang", "en")
        self.http.timeout = httpx.Timeout(120)  # no test asserts a duration: a slow machine must not fail a property

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers=headers)

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        """Send a form as a page of the console does, except for the given headers; an empty one is left out."""
        sent = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"} | headers
        return await self.http.post(path, data=fields, headers={name: each for name, each in sent.items() if each})

    async def submit(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with the token of this session."""
        return await self.post(path, fields | {"form_token": await self.get_form_token()})

    async def get_form_token(self) -> str:
        page = (await self.get(SESSIONS)).raise_for_status()
        match = re.search(r'name="form_token" value="([0-9a-f]{64})"', page.text)
        assert match is not None
        return match[1]

    async def start(self, provider: str = "one", return_path: str | None = None) -> str:
        """Start a sign-in and return the URL at the provider."""
        query = {} if return_path is None else {"next": return_path}
        response = await self.http.get(f"/console/login/{provider}", params=query)
        assert response.status_code == 303, response.text
        return response.headers["location"]

    async def authorize(self, url: str, user_id: UUID) -> str:
        """Select a user on the provider's page, and return the URL of the callback."""
        page = await self.http.get(url)
        assert page.status_code == 200, page.text
        fields = dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', page.text))
        form = {name: unescape(value) for name, value in fields.items()}
        assert form == dict(parse_qsl(urlsplit(url).query))
        response = await self.http.post(url.partition("?")[0], data=form | {"user": str(user_id)})
        assert response.status_code == 303, response.text
        return response.headers["location"]

    async def sign_in(self, user_id: UUID, provider: str = "one", return_path: str | None = None) -> httpx.Response:
        """Sign in and return the response of the callback."""
        return await self.get(await self.authorize(await self.start(provider, return_path), user_id))

    async def is_signed_in(self) -> bool:
        return (await self.get(SESSIONS)).status_code == 200

    def read_cookie(self, prefix: str = "stafett-") -> str:
        """Return the value of the session's cookie."""
        (value,) = [each.value for each in self.http.cookies.jar if re.fullmatch(rf"{prefix}\d+", each.name)]
        assert value is not None
        return value

    @property
    def cookie_name(self) -> str:
        return f"stafett-{urlsplit(self.origin).port}"
