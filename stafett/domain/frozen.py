from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Base class of immutable values that reject undeclared fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
