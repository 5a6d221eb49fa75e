"""Smaller networks from trained ones: quantization; what it costs is always measured."""
