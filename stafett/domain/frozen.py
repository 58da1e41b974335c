from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Base class of immutable values that reject undeclared fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PayloadModel(FrozenModel):
    """Base class of workflow payloads and stored outputs, which ignore the fields that a newer version has added.

    During a rolling upgrade, workers of both versions read the payloads of both.
    """

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"additionalProperties": False},  # the API's document: what this version writes has no others
    )
