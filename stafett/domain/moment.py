"""An instant that somebody says."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies beyond the years that there are in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
