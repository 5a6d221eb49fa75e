"""Detection in a report: figures by class and size, the kinds of errors with pictures of each, and whether scores are honest."""
