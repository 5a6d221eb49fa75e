"""A plain FastAPI application around the same bundle: no batches, the framework's own thread pool."""

import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from pocketvision.bundle import read_bundle
from pocketvision.runtime.backends import open_backend

bundle = read_bundle(Path(sys.argv[1]))
backend = open_backend(bundle, "onnxruntime", threads=int(sys.argv[2]))
app = FastAPI()


def classify(content: bytes) -> dict[str, Any]:
    """The label of an image."""
    probabilities = backend.run(bundle.preprocessing(content)[None])["probabilities"][0]
    return {"label": bundle.labels[int(probabilities.argmax())], "probability": float(probabilities.max())}


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """An image as the body."""
    return await run_in_threadpool(classify, await request.body())


listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([listening])
