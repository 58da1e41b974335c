"""Conditional requests, as RFC 9110 compares entity tags."""


def is_unchanged(etag: str, if_none_match: str | None) -> bool:
    """Whether the client has it already: weakly compared, for proxies weaken what they compress."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag in known
