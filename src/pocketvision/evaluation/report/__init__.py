"""The report of a run: one self-contained HTML page in English or Korean, figures as JSON and CSV, plots as PNG."""
