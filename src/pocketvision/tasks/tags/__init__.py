"""Tags: any number of labels an image, each with a probability of its own and a threshold."""
