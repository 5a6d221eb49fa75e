"""Tasks: what a model can be asked about an image. The numpy half of each; no torch.

task.py says what a task is, catalog.py lists them, and each has a folder of its own.
"""
