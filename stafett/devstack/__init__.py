"""The real stack on one machine, from wheels. Only this package knows which programs they contain."""
