"""Boxes with their pictures, written in the formats that other tools read: one file a format."""
