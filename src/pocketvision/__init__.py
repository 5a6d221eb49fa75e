"""PocketVision: a folder of images becomes a trained, measured and shippable vision model."""
