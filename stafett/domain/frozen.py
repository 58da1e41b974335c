from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A value: never changed after it was made, and with no field nobody declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")
