"""Segmentation in a report: figures by class, what is taken for what, whether probabilities are honest, and the worst images."""
