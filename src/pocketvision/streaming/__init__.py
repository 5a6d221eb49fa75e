"""Streaming: frames of a camera, a file or the network, answered one by one with bounded latency and memory. No torch."""
