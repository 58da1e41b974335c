"""The whole real stack on one machine, from wheels: only this package knows which."""
