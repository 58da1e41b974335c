"""The stages of an export, one module each."""
