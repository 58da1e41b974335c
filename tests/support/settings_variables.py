"""The names of all `STAFETT_` variables that the settings have."""

from pydantic import BaseModel


def list_variables(model: type[BaseModel], prefix: str = "STAFETT_") -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= list_variables(kind, f"{prefix}{name.upper()}__")
        else:
            names.add(prefix + name.upper())
    return names
