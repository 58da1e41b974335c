"""OpenID providers: authorization code flow with PKCE, state and nonce, and the verification of ID tokens."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Annotated, Any, ParamSpec, TypeVar
from urllib.parse import quote_plus

import httpx
import jwt
import structlog
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from authlib.common.urls import add_params_to_uri  # type: ignore[import-untyped]  # the package ships no types
from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]  # the same
from authlib.oauth2.client import OAuth2Client  # type: ignore[import-untyped]  # the same
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]  # the same
from joserfc.errors import JoseError
from pydantic import AfterValidator, AnyHttpUrl, BaseModel

from api.keys import JwksEndpoint, download_text
from stafett.database.tables import LoginAttempt
from stafett.domain.errors import ServiceUnavailableError, SignInRefusedError
from stafett.people.sessions import VerifiedSignIn
from stafett.settings import IssuerSettings, require_https

Params = ParamSpec("Params")
Result = TypeVar("Result")
CHALLENGE_METHOD = "S256"
_ALGORITHMS = ["RS256", "ES256"]
_REQUIRED_CLAIMS = ["iss", "sub", "aud", "exp", "iat"]
_SCOPE = "openid email"
_METADATA_LIFETIME_SECONDS = 3600.0
_TIMEOUT_SECONDS = 5.0
_THREADS_PER_PROVIDER = 2
_MAX_ID_TOKEN_LENGTH = 16_000
_ERROR_CODE = re.compile(r"[a-z_]{1,40}", re.ASCII)
_HTTP_ERRORS = (httpx.HTTPError, httpx.InvalidURL)
_INVALID_TOKEN_ERRORS = (jwt.PyJWTError, JoseError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
_log = structlog.get_logger("stafett.api")

Endpoint = Annotated[AnyHttpUrl, AfterValidator(require_https)]


def to_error_code(error: object) -> str:
    """Return an OAuth error code that can be logged; a provider could send anything in its place."""
    return error if isinstance(error, str) and _ERROR_CODE.fullmatch(error) else "other"


class ProviderMetadata(BaseModel):
    """The part of a provider's discovery document that sign-in uses."""

    issuer: str
    authorization_endpoint: Endpoint
    token_endpoint: Endpoint
    jwks_uri: Endpoint
    end_session_endpoint: Endpoint | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    code_challenge_methods_supported: tuple[str, ...] = (CHALLENGE_METHOD,)
    authorization_response_iss_parameter_supported: bool = False


class OpenIDProvider:
    """One configured issuer. Its requests run in threads of their own, so that a slow issuer delays no other work."""

    def __init__(self, name: str, settings: IssuerSettings, redirect_uri: str, leeway_seconds: int) -> None:
        self.name = name
        self.label = settings.label
        self.organisations = None if settings.organisations == "all" else settings.organisations
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._leeway_seconds = leeway_seconds
        self._http_client = httpx.Client(timeout=_TIMEOUT_SECONDS)
        self._metadata: tuple[float, ProviderMetadata, JwksEndpoint] | None = None
        self._lock = Lock()
        self._limiter: CapacityLimiter | None = None

    async def run(self, call: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
        """Run one of the blocking methods below in a thread of this provider."""
        if self._limiter is None:  # it belongs to the running event loop
            self._limiter = CapacityLimiter(_THREADS_PER_PROVIDER)
        return await run_sync(lambda: call(*args, **kwargs), limiter=self._limiter)

    def create_authorization_url(self, state: str, attempt: LoginAttempt) -> str:
        """Return the URL at which the user signs in."""
        metadata, _ = self._load_metadata()
        if CHALLENGE_METHOD not in metadata.code_challenge_methods_supported:
            raise SignInRefusedError("pkce_unsupported")
        url: str
        url, _state = self._create_client().create_authorization_url(
            str(metadata.authorization_endpoint),
            state=state,
            nonce=attempt.nonce,
            code_verifier=attempt.code_verifier,
        )
        return url

    def verify_response(self, attempt: LoginAttempt, code: str, issuer: str | None) -> VerifiedSignIn:
        """Exchange the code for an ID token, verify it, and return what the provider states about the user."""
        metadata, keys = self._load_metadata()
        if issuer is None and metadata.authorization_response_iss_parameter_supported:
            raise SignInRefusedError("wrong_issuer")
        if issuer not in {None, self._settings.url}:
            raise SignInRefusedError("wrong_issuer")
        token = self._fetch_token(metadata, code, attempt.code_verifier)
        claims = self._verify_id_token(keys, token, attempt.nonce)
        return VerifiedSignIn(
            provider=self.name,
            organisations=self.organisations,
            issuer=self._settings.url,
            subject=claims["sub"],
            verified_address=self._get_verified_address(claims),
            id_token=token["id_token"],
            logout_url=str(metadata.end_session_endpoint) if metadata.end_session_endpoint else None,
        )

    def create_logout_url(self, logout_url: str, id_token: str, return_url: str) -> str:
        """Return the URL at which the provider ends its own session of the user, and sends the browser back."""
        parameters = {
            "id_token_hint": id_token,
            "client_id": self._settings.client_id,
            "post_logout_redirect_uri": return_url,
        }
        url: str = add_params_to_uri(logout_url, list(parameters.items()))
        return url

    def _create_client(self) -> OAuth2Client:
        return OAuth2Client(
            self._http_client,
            self._settings.client_id,
            scope=_SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method=CHALLENGE_METHOD,
        )

    def _load_metadata(self) -> tuple[ProviderMetadata, JwksEndpoint]:
        with self._lock:
            if self._metadata is None or time.monotonic() - self._metadata[0] >= _METADATA_LIFETIME_SECONDS:
                metadata = self._fetch_metadata()
                self._metadata = time.monotonic(), metadata, JwksEndpoint(str(metadata.jwks_uri))
            return self._metadata[1:]

    def _fetch_metadata(self) -> ProviderMetadata:
        url = f"{self._settings.url.rstrip('/')}/.well-known/openid-configuration"
        with self._report_unavailable():
            metadata = ProviderMetadata.model_validate_json(download_text(self._http_client, url))
        if metadata.issuer != self._settings.url:
            raise SignInRefusedError("wrong_issuer")
        return metadata

    def _fetch_token(self, metadata: ProviderMetadata, code: str, code_verifier: str) -> Mapping[str, Any]:
        client_id, secret = self._settings.client_id, self._settings.client_secret.get_secret_value()
        # RFC 6749 encodes both, because a colon would separate them.
        basic = httpx.BasicAuth(quote_plus(client_id), quote_plus(secret))
        in_body = {"client_id": client_id, "client_secret": secret}
        uses_body = "client_secret_basic" not in metadata.token_endpoint_auth_methods_supported
        with self._report_unavailable():
            try:
                token: Mapping[str, Any] = self._create_client().fetch_token(
                    str(metadata.token_endpoint),
                    code=code,
                    code_verifier=code_verifier,
                    redirect_uri=self._redirect_uri,
                    auth=httpx.Auth() if uses_body else basic,
                    **(in_body if uses_body else {}),
                )
            except OAuth2Error as error:
                _log.warning("code_refused", provider=self.name, error=to_error_code(error.error))
                raise SignInRefusedError("code_refused") from None
        return token

    def _verify_id_token(self, keys: JwksEndpoint, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        try:
            id_token = token["id_token"]
            if len(id_token) > _MAX_ID_TOKEN_LENGTH:
                raise ValueError("the ID token is too long")
            header = jwt.get_unverified_header(id_token)
            claims: dict[str, Any] = jwt.decode(
                id_token,
                keys.get_key(header["kid"]),
                algorithms=_ALGORITHMS,
                audience=self._settings.client_id,
                issuer=self._settings.url,
                leeway=self._leeway_seconds,
                options={"require": _REQUIRED_CLAIMS},
            )
            expected = {"nonce": nonce, "client_id": self._settings.client_id, "access_token": token["access_token"]}
            CodeIDToken(claims, header, params=expected).validate(leeway=self._leeway_seconds)
        except _INVALID_TOKEN_ERRORS as error:
            _log.warning("id_token_invalid", provider=self.name, error=type(error).__name__)
            raise SignInRefusedError("id_token_invalid") from None
        return claims

    def _get_verified_address(self, claims: Mapping[str, Any]) -> str | None:
        """Return the email address only if the provider states that it belongs to the user."""
        address = claims.get("email")
        is_verified = claims.get("email_verified", self._settings.addresses_are_verified)
        return address if isinstance(address, str) and is_verified is True else None

    @contextmanager
    def _report_unavailable(self) -> Iterator[None]:
        try:
            yield
        except (*_HTTP_ERRORS, ValueError) as error:  # ValueError: what it sent is not the expected document
            _log.warning("issuer_unavailable", provider=self.name, error=type(error).__name__)
            raise ServiceUnavailableError("The identity provider") from None
