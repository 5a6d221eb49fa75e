"""Heads that say the class of every pixel, from a pyramid of maps."""
