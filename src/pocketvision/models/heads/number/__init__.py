"""Heads that say a picture's number."""
