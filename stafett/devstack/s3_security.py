"""Keys and certificates without which the inner ports of SeaweedFS answer no request for data.

They are created again at each start: all parts of the server run in one process, and nothing stored depends on them.
"""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from stafett.devstack.data_folder import write_atomically

_VALIDITY = timedelta(days=3650)
_SIGNED_REQUESTS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
_GRPC_PARTS = ("master", "volume", "filer", "s3", "admin", "worker", "client", "msg_broker", "msg_agent", "mq")


def write_security_files(folder: Path) -> None:
    """Write ``security.toml`` and its certificates. The key of the certificate authority is not stored."""
    authority_key, key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    write_atomically(folder / "ca.pem", _create_certificate("authority", authority_key, authority_key))
    write_atomically(folder / "certificate.pem", _create_certificate("seaweedfs", key, authority_key))
    write_atomically(folder / "key.pem", pem)
    write_atomically(folder / "security.toml", _format_configuration())


def _format_configuration() -> str:
    """Format the configuration. Its paths are relative to the folder, in which SeaweedFS and its shell run."""
    jwt_keys = [f'[{section}]\nkey = "{secrets.token_hex(32)}"' for section in _SIGNED_REQUESTS]
    grpc = [f'[grpc.{part}]\ncert = "certificate.pem"\nkey = "key.pem"' for part in _GRPC_PARTS]
    return "\n".join([*jwt_keys, '[grpc]\nca = "ca.pem"', *grpc, ""])


def _create_certificate(name: str, key: EllipticCurvePrivateKey, authority_key: EllipticCurvePrivateKey) -> str:
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_to_x509_name(name))
        .issuer_name(_to_x509_name("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.BasicConstraints(ca=key is authority_key, path_length=None), critical=True)
    )
    return certificate.sign(authority_key, SHA256()).public_bytes(Encoding.PEM).decode()


def _to_x509_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
