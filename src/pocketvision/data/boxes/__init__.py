"""Boxes in files: read as they are drawn, brought onto the upright pictures, cleaned, audited and written again."""
