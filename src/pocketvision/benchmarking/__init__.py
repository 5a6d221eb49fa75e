"""Bundles and architectures by the clock of this machine, in fair turns, and runs beside earlier ones. Needs no torch."""
