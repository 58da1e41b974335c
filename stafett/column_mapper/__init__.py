from stafett.column_mapper.plain import PlainMapping

__all__ = ["PlainMapping"]
