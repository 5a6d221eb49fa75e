"""From a graph's tensors to predictions. Numpy only; one file a task."""
