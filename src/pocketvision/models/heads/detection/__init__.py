"""Heads that say which objects a picture shows, and where."""
