"""Numbers: one figure an image, such as an age, a count or a quality, with an interval."""
