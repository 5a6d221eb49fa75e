"""What a verb ends with, besides 0 (done), 1 (work failed, or findings) and 2 (wrong use): as shells count, 128 and the number
of the signal."""

INTERRUPTED = 130
"""SIGINT."""

BROKEN_PIPE = 141
"""SIGPIPE: nobody read on."""
