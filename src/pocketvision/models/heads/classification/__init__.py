"""Heads that say which class a picture shows."""
