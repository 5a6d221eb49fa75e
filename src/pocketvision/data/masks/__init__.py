"""Masks of images: where they lie, what their values mean, and how they are read."""
