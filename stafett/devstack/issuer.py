"""The development issuer: a key pair in the data folder, and tokens like those of a real identity provider."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from stafett.devstack.data_folder import write_atomically
from stafett.devstack.errors import DevStackError
from stafett.settings import AuthSettings

_KEY_ID = "development"
_TOKEN_LIFETIME = timedelta(hours=12)


class DevIssuer:
    """An issuer of tokens, for development only: every user who can read its folder can sign in as any user."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "issuer"
        self._private_key_file = self._folder / "private.pem"
        self._url_file = self._folder / "address"
        self.jwks_file = self._folder / "jwks.json"

    def ensure_keys(self) -> None:
        """Create and store the key pair at the first start."""
        if self._private_key_file.exists() and self.jwks_file.exists():
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_atomically(self._private_key_file, pem.decode())
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self.jwks_file.write_text(json.dumps({"keys": [public | {"kid": _KEY_ID, "use": "sig", "alg": "ES256"}]}))

    def set_url(self, url: str) -> None:
        """Set the URL that tokens carry as their issuer from now on."""
        self._url_file.write_text(url)

    @property
    def url(self) -> str:
        """The ``iss`` claim of the tokens."""
        return self._url_file.read_text() if self._url_file.exists() else AuthSettings().issuer

    def load_jwks(self) -> dict[str, Any]:
        keys: dict[str, Any] = json.loads(self.jwks_file.read_text())
        return keys

    def environment(self) -> dict[str, str]:
        return {
            "STAFETT_AUTH__ISSUER": self.url,
            "STAFETT_AUTH__JWKS_URL": f"{self.url}/jwks.json",
            "STAFETT_AUTH__SUBJECT_IS_USER_ID": "true",
        }

    def create_token(self, user_id: UUID, org_id: str | None, role: str, **claims: Any) -> str:
        if not self._private_key_file.exists():
            raise DevStackError(f"{self._folder.parent} has no development issuer; start `stafett dev` on it first.")
        now = datetime.now(UTC)
        payload = {
            "iss": self.url,
            "aud": AuthSettings().audience,
            "sub": str(user_id),
            "org": org_id,
            "role": role,
            "iat": now,
            "exp": now + _TOKEN_LIFETIME,
        }
        return self.sign_claims(payload | claims)

    def sign_claims(self, claims: dict[str, Any]) -> str:
        """Sign the claims of an access token or ID token."""
        return jwt.encode(claims, self._private_key_file.read_text(), algorithm="ES256", headers={"kid": _KEY_ID})
