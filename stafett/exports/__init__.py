"""Exports: accepted, worked on stage by stage, ended, steered, handed out."""
