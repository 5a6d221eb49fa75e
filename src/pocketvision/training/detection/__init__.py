"""Learning to detect: which cell learns which object, what is minimised, and what is said of it."""
