"""Classification: one label for a whole image, with a probability for every class."""
