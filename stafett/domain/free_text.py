"""What people write in their own words, as PostgreSQL can keep it."""

from pydantic import AfterValidator


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("text holds no NUL character")
    return text


NO_NUL = AfterValidator(_without_nul)
"""Behind the constraints of a text, so that those are told, and shown in the schema, as what they are: of a text."""
