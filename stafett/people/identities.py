"""Links the accounts of identity providers to users: by address at the first sign-in, by subject afterwards."""

import re
from typing import LiteralString
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

_MAX_ISSUER_LENGTH, _MAX_SUBJECT_LENGTH = 2000, 255
_RESOLVE: LiteralString = "SELECT resolve_user_identity(:issuer, :subject, :address)"


def resolve_user(session: Session, issuer: str, subject: str, verified_address: str | None) -> UUID | None:
    """Return the user whom an identity belongs to, or None if there is no such user.

    The issuer's first token with the verified address of a user links its subject to that user. From then on the
    address no longer decides: another subject of the issuer with the same address belongs to no user.
    ``verified_address`` is None unless the issuer states that it has verified the address. An address with other than
    ASCII characters links nothing: in lower case it could be another one, such as with a Kelvin sign for a k.
    """
    if not 0 < len(issuer) <= _MAX_ISSUER_LENGTH or not 0 < len(subject) <= _MAX_SUBJECT_LENGTH:
        return None
    address = verified_address if verified_address is not None and verified_address.isascii() else None
    if re.search("[\0\ud800-\udfff]", issuer + subject + (address or "")):  # PostgreSQL cannot store it
        return None
    values = {"issuer": issuer, "subject": subject, "address": address}
    user_id: UUID | None = session.scalar(text(_RESOLVE), values)
    return user_id
