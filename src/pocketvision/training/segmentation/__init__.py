"""Learning masks: losses of pixels, and of regions as a whole."""
