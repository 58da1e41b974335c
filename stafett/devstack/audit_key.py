"""The signing key for audit checkpoints of a development stack, created once and stored in its data folder."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from stafett.devstack.data_folder import write_atomically
from stafett.settings import AuditSettings


class DevAuditKey:
    """A signing key in a file. Every user who can read its folder can sign, so it is for development only."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "audit"
        self.key_file = self._folder / "signing.pem"

    def ensure_key(self) -> None:
        """Create the key at the first start."""
        if self.key_file.exists():
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(self.key_file, pem.decode())

    def environment(self) -> dict[str, str]:
        return {"STAFETT_AUDIT__SIGNING_KEY_FILE": str(self.key_file.resolve())}

    def audit_settings(self) -> AuditSettings:
        """Return settings without a key if the stack has not created one; it has signed nothing then."""
        return AuditSettings(signing_key_file=self.key_file if self.key_file.exists() else None)
