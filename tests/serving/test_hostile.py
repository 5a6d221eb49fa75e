"""The API against its own description, by Schemathesis; and thousands of damaged images: never a 500, never a crash."""

import io

import numpy as np
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import Start, serving

from pocketvision.bundle import Bundle
from pocketvision.serving.settings import ServerSettings

MUTATIONS = 5000
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_the_api_answers_as_its_description_says(start: Start) -> None:
    description = schemathesis.openapi.from_url(f"{start().url}/openapi.json")
    operations = [result.ok() for result in description.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:

        @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        ask()


def damaged_images() -> list[bytes]:
    """Small pictures of every format with bytes changed, cut out, doubled or cut off."""
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 255, (24, 31, 3), dtype=np.uint8))
    seeds = []
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"):
        file = io.BytesIO()
        picture.save(file, kind)
        seeds.append(file.getvalue())
    damaged = []
    for number in range(MUTATIONS):
        content = bytearray(seeds[number % len(seeds)])
        for _ in range(random.integers(1, 6)):
            place = int(random.integers(0, max(len(content), 1)))
            length = int(random.integers(1, 9))
            match random.integers(0, 5):
                case 0 | 1:
                    content[place : place + length] = random.bytes(length)
                case 2:
                    del content[place : place + length]
                case 3:
                    content[place:place] = content[place : place + 4 * length]
                case 4:
                    content = content[: max(place, 12)]
        damaged.append(bytes(content))
    return damaged


def test_damaged_images_are_answered_or_refused(tiny_bundle: Bundle) -> None:
    images = damaged_images()
    statuses: dict[int, int] = {}
    with serving(tiny_bundle.folder, settings=ServerSettings(max_pixels=1_000_000)) as client:
        for start in range(0, len(images), 25):
            answer = client.post("/predict", files=[("file", ("x", image)) for image in images[start : start + 25]])
            assert answer.status_code == 200, answer.text
            for prediction in answer.json()["predictions"]:
                status = (prediction.get("problem") or {"status": 200})["status"]
                statuses[status] = statuses.get(status, 0) + 1
    assert set(statuses) == {200, 422}
    assert sum(statuses.values()) == MUTATIONS
