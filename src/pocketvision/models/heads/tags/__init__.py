"""Heads that say which tags a picture has."""
