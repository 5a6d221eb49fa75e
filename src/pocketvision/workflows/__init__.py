"""The Python API, one file a verb: the one place that composes the rooms."""
