"""The report's part about spots."""
