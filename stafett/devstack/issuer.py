"""The development issuer: a key pair in the data folder, and tokens as a real identity provider makes them."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from stafett.devstack.errors import DevStackError
from stafett.settings import AuthSettings

_KEY_ID = "development"
_LIFE = timedelta(hours=12)


class DevIssuer:
    """Whoever can read its folder can be anybody: for development alone."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "issuer"
        self._private = self._folder / "private.pem"
        self.jwks = self._folder / "jwks.json"

    def ensure(self) -> None:
        """Make the key pair at the first start, and keep it."""
        if self._private.exists() and self.jwks.exists():
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(self._private, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pem)
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self.jwks.write_text(json.dumps({"keys": [public | {"kid": _KEY_ID, "use": "sig", "alg": "ES256"}]}))

    def environment(self) -> dict[str, str]:
        return {"STAFETT_AUTH__JWKS_FILE": str(self.jwks.resolve())}

    def token(self, user_id: UUID, org_id: str | None, role: str, **claims: Any) -> str:
        if not self._private.exists():
            raise DevStackError(f"{self._folder.parent} has no development issuer; start `stafett dev` on it first.")
        now, settings = datetime.now(UTC), AuthSettings()
        said = {
            "iss": settings.issuer,
            "aud": settings.audience,
            "sub": str(user_id),
            "org": org_id,
            "role": role,
            "iat": now,
            "exp": now + _LIFE,
        }
        return jwt.encode(said | claims, self._private.read_text(), algorithm="ES256", headers={"kid": _KEY_ID})
