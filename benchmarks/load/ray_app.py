"""Ray Serve around the same bundle: one replica, at most four images a batch."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from free_port import free_port
from ray import serve
from starlette.requests import Request

BUNDLE, THREADS = Path(sys.argv[1]).resolve(), int(sys.argv[2])


@serve.deployment(num_replicas=1, max_ongoing_requests=128, ray_actor_options={"num_cpus": 0})
class Classifier:
    """Decoding and the network in one replica."""

    def __init__(self, bundle: str, threads: int) -> None:
        from pocketvision.bundle import read_bundle
        from pocketvision.runtime.backends import open_backend

        self.bundle = read_bundle(Path(bundle))
        self.backend = open_backend(self.bundle, "onnxruntime", threads=threads)

    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0)
    async def classify(self, contents: list[bytes]) -> list[dict[str, Any]]:
        """Labels of images."""
        images = np.stack([self.bundle.preprocessing(content) for content in contents])
        rows = self.backend.run(images)["probabilities"]
        return [{"label": self.bundle.labels[int(row.argmax())], "probability": float(row.max())} for row in rows]

    async def __call__(self, request: Request) -> Any:
        """An image as the body."""
        return await self.classify(await request.body())


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
port = free_port()
serve.start(http_options={"host": "127.0.0.1", "port": port, "location": "HeadOnly"})
serve.run(Classifier.bind(str(BUNDLE), THREADS), route_prefix="/predict")
print(f"http://127.0.0.1:{port}", file=sys.stderr, flush=True)
while True:
    time.sleep(60)
