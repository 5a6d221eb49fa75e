"""Detection: which objects are in an image, and where."""
