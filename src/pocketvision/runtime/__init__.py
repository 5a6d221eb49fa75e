"""Running a bundle: backends and the predictor. No torch."""
