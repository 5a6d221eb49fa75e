"""LitServe around the same bundle. It takes JSON or forms, so images come as base64, as in its own benchmark."""

import base64
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from free_port import free_port

from pocketvision.bundle import read_bundle
from pocketvision.runtime.backends import open_backend


class Classifier(litserve.LitAPI):
    """Decoding and the network in LitServe's worker process, at most four images a batch."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Open the bundle."""
        self.bundle = read_bundle(Path(sys.argv[1]))
        self.backend = open_backend(self.bundle, "onnxruntime", threads=int(sys.argv[2]))

    def decode_request(self, request: litserve.Request) -> Any:
        """An input of the network. LitServe reads JSON because of the annotation."""
        return self.bundle.preprocessing(base64.b64decode(request["image"]))

    def batch(self, inputs: list[Any]) -> Any:
        """One array of several."""
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        """Probabilities."""
        return self.backend.run(x)["probabilities"]

    def unbatch(self, output: Any) -> Any:
        """A row for each."""
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The label."""
        return {"label": self.bundle.labels[int(output.argmax())], "probability": float(output.max())}


if __name__ == "__main__":
    port = free_port()
    api = Classifier(max_batch_size=4, batch_timeout=0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue="--fast-queue" in sys.argv)
    print(f"http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="error")
