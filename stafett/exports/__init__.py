"""Exports: acceptance, stages, completion, commands, downloads, previews and retention."""
