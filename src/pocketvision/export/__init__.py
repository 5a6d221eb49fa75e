"""Trained networks as files that other runtimes read, and the proof that they answer alike."""
