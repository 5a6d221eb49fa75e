"""Masks written in forms that other tools read."""
