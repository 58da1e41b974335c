"""Sign-in at the development issuer: the user selects an account from a list, and needs no password."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote_plus, urlencode
from uuid import UUID

from stafett.devstack.issuer import DevIssuer

CLIENT_ID = "stafett-console"
_CODE_LIFETIME_SECONDS = 60.0
_ID_TOKEN_LIFETIME_SECONDS = 300
Parameters = Mapping[str, str]


class DevUser(NamedTuple):
    """An account at the development issuer."""

    id: UUID
    email: str
    display_name: str


class DevSignInError(Exception):
    """The client's request is not valid; the code is one of RFC 6749."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Grant(NamedTuple):
    user: DevUser
    redirect_uri: str
    nonce: str
    code_challenge: str
    expires_at: float


class DevSignIn:
    """An OpenID provider for one client, the console. It requires PKCE, and a code can be redeemed once."""

    def __init__(self, issuer: DevIssuer, users: Sequence[DevUser]) -> None:
        self.issuer = issuer
        self.users = users
        self.client_secret = secrets.token_urlsafe(32)
        self._console_url = ""
        self._grants: dict[str, _Grant] = {}

    def register_console(self, public_url: str) -> dict[str, str]:
        """Accept the console at this URL as the client, and return the settings with which it signs users in."""
        self._console_url = f"{public_url}/console"
        client = {"client_id": CLIENT_ID, "client_secret": self.client_secret}
        issuer = {"url": self.issuer.url, "label": "the development issuer", "organisations": "all"} | client
        return {
            "STAFETT_SIGN_IN__PUBLIC_URL": public_url,
            "STAFETT_SIGN_IN__ISSUERS": json.dumps({"development": issuer}),
        }

    def discovery_document(self) -> dict[str, Any]:
        url = self.issuer.url
        return {
            "issuer": url,
            "jwks_uri": f"{url}/jwks.json",
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "end_session_endpoint": f"{url}/logout",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def check_authorization(self, request: Parameters) -> None:
        """Raise for a request that must not be answered at its redirect URI, or that lacks a protection."""
        if request.get("client_id") != CLIENT_ID or request.get("redirect_uri") != f"{self._console_url}/callback":
            raise DevSignInError("unauthorized_client")
        if request.get("response_type") != "code":
            raise DevSignInError("unsupported_response_type")
        if "openid" not in request.get("scope", "").split():
            raise DevSignInError("invalid_scope")
        if request.get("code_challenge_method") != "S256" or not request.get("code_challenge"):
            raise DevSignInError("invalid_request")

    def authorize(self, request: Parameters, user_id: str) -> str:
        """Return the redirect URI with a code for this user."""
        self.check_authorization(request)
        user = next((user for user in self.users if str(user.id) == user_id), None)
        if user is None:
            raise DevSignInError("access_denied")
        code = secrets.token_urlsafe(32)
        self._grants[code] = _Grant(
            user,
            request["redirect_uri"],
            request.get("nonce", ""),
            request["code_challenge"],
            time.monotonic() + _CODE_LIFETIME_SECONDS,
        )
        response = {"code": code, "state": request.get("state", ""), "iss": self.issuer.url}
        return f"{request['redirect_uri']}?{urlencode(response)}"

    def redeem_code(self, request: Parameters, authorization: str) -> dict[str, Any]:
        """Return the token response for a code, which is used up even if the request is refused."""
        grant = self._grants.pop(request.get("code", ""), None)
        if not self._is_client(authorization):
            raise DevSignInError("invalid_client")
        challenge = hashlib.sha256(request.get("code_verifier", "").encode()).digest()
        if (
            grant is None
            or grant.expires_at <= time.monotonic()
            or request.get("grant_type") != "authorization_code"
            or request.get("redirect_uri") != grant.redirect_uri
            or base64.urlsafe_b64encode(challenge).decode().rstrip("=") != grant.code_challenge
        ):
            raise DevSignInError("invalid_grant")
        return {
            "access_token": secrets.token_urlsafe(32),
            "token_type": "Bearer",
            "expires_in": _ID_TOKEN_LIFETIME_SECONDS,
            "id_token": self.issuer.sign_claims(self.create_claims(grant.user, grant.nonce)),
        }

    def create_claims(self, user: DevUser, nonce: str) -> dict[str, Any]:
        """Create the claims of an ID token."""
        now = int(time.time())
        return {
            "iss": self.issuer.url,
            "aud": CLIENT_ID,
            "sub": str(user.id),
            "email": user.email,
            "email_verified": True,
            "nonce": nonce,
            "iat": now,
            "exp": now + _ID_TOKEN_LIFETIME_SECONDS,
        }

    def get_logout_redirect(self, request: Parameters) -> str:
        """Return the client's own page to which the browser returns after signing out."""
        redirect_uri = request.get("post_logout_redirect_uri", "")
        if request.get("client_id") != CLIENT_ID or not redirect_uri.startswith(f"{self._console_url}/"):
            raise DevSignInError("invalid_request")
        return redirect_uri

    def _is_client(self, authorization: str) -> bool:
        """Check HTTP Basic authentication, whose parts are form-encoded in OAuth."""
        scheme, _, credentials = authorization.partition(" ")
        try:
            client_id, _, secret = base64.b64decode(credentials).decode().partition(":")
        except (binascii.Error, ValueError):
            return False
        has_secret = hmac.compare_digest(unquote_plus(secret).encode(), self.client_secret.encode())
        return scheme.lower() == "basic" and client_id == CLIENT_ID and has_secret
