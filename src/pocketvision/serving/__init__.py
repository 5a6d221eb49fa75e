"""Bundles behind HTTP and WebSocket. No torch; FastAPI, uvicorn and prometheus-client come with the `serve` extra."""
