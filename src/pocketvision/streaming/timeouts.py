"""How long a source may be silent, unless the user says otherwise. Imports nothing, so that `--help` may show it at once."""

OPEN_TIMEOUT, READ_TIMEOUT = 20.0, 15.0
"""Seconds until a camera or the network has to have given its first pictures (FFmpeg looks at two), and then its next bytes."""
