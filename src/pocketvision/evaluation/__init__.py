"""How good a classifier is: metrics with intervals, calibration, an evaluation of labelled images, and its report."""
