"""POST /predict and /predict_base64: images in, labels out."""

import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from pocketvision.serving.answers import PredictionAnswer, prediction_answer
from pocketvision.serving.json_bodies import image_of, parsed, text_or_none, whole_number
from pocketvision.serving.problems import refused
from pocketvision.serving.request_body import chunks, unless_disconnected, whole_body
from pocketvision.serving.service import Reservation, Service, request_id_of, service_of

MAX_TOP_K = 1000
DEFAULT_TOP_K = 5
FIELD = "file"
_FIELD_SIZE = 1024  # bytes of a form's text field; we have none, so they are only passed over

router = APIRouter()

_IMAGES = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": [FIELD],
            "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}},
        }
    },
    "image/*": {"schema": {"type": "string", "format": "binary"}},
}
# Read by hand: it is what the framework would take longest for (a tenth of the event loop's time for a request).
_QUERY: list[dict[str, Any]] = [
    {
        "name": "top_k",
        "in": "query",
        "description": "How many classes an image's answer names.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": DEFAULT_TOP_K},
    },
    {"name": "model", "in": "query", "description": "A name of /models.", "schema": {"type": "string"}},
    {"name": "version", "in": "query", "description": "A version of that name.", "schema": {"type": "string"}},
]
_BASE64 = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": {"type": "string", "format": "byte", "description": "Base64, or a data URL."},
                "top_k": {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": DEFAULT_TOP_K},
                "model": {"type": "string"},
                "version": {"type": "string"},
            },
        }
    }
}


@router.post(
    "/predict",
    summary="Classify images",
    response_model=PredictionAnswer,
    openapi_extra={"parameters": _QUERY, "requestBody": {"required": True, "content": _IMAGES}},
)
async def predict(request: Request) -> Response:
    """One image as the body, with its content type, or one or several as `file` fields of a form."""
    service = service_of(request)
    query = request.query_params
    top_k, model, version = _top_k_of(query.get("top_k")), query.get("model"), query.get("version")
    _check_early(service, model, version)
    with service.bodies.reserve() as reservation:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            images = await _files(request, service, reservation)
        elif kind.startswith("image/") or kind == "application/octet-stream":
            images = [await whole_body(request, service, reservation)]
        else:
            raise refused(
                415,
                "unsupported-media-type",
                f"The content type is {kind[:100]!r}; expected multipart/form-data with `{FIELD}` fields, or image/….",
            )
        return await _answered(request, service, images, top_k, model, version)


@router.post(
    "/predict_base64",
    summary="Classify an image in JSON",
    response_model=PredictionAnswer,
    openapi_extra={"requestBody": {"required": True, "content": _BASE64}},
)
async def predict_base64(request: Request) -> Response:
    """An object with the image as base64 text, and what /predict takes as its query."""
    service = service_of(request)
    _check_early(service, None, None)
    with service.bodies.reserve() as reservation:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise refused(
                415, "unsupported-media-type", f"The content type is {kind[:100]!r}; expected application/json."
            )
        values = await parsed(await whole_body(request, service, reservation), service.settings.max_json_depth)
        top_k = whole_number(values, "top_k", DEFAULT_TOP_K, 1, MAX_TOP_K)
        model, version = text_or_none(values, "model"), text_or_none(values, "version")
        return await _answered(request, service, [await image_of(values.get("image"))], top_k, model, version)


def _top_k_of(text: str | None) -> int:
    """The query's top_k. Raises a 422 problem unless it is absent or a whole number in the range."""
    if text is None:
        return DEFAULT_TOP_K
    digits = text.strip()
    values = {"top_k": int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 9 else None}
    return whole_number(values, "top_k", DEFAULT_TOP_K, 1, MAX_TOP_K)


def _check_early(service: Service, model: str | None, version: str | None) -> None:
    """Refuse what can not be answered before its body is read: an unknown model, a full queue."""
    service.models.get(model, version).batcher.check_room(1)


async def _answered(
    request: Request, service: Service, images: list[bytes], top_k: int, model: str | None, version: str | None
) -> Response:
    deadline = time.monotonic() + service.settings.deadline
    predicted = service.models.predict(images, deadline=deadline, name=model, version=version)
    served, outcomes = await unless_disconnected(request, predicted)
    answer = prediction_answer(served, outcomes, top_k, request_id_of(request))
    return Response(to_json(answer), media_type="application/json")


async def _files(request: Request, service: Service, reservation: Reservation) -> list[bytes]:
    """The contents of a form's `file` fields, kept in memory: nothing a client sends is written to a file."""
    most = service.settings.max_images
    parser = MultiPartParser(
        request.headers,
        chunks(request, service, reservation),
        max_files=most + 1,
        max_fields=most,
        max_part_size=_FIELD_SIZE,
    )
    # Starlette would otherwise put what is larger than a megabyte on the disk.
    parser.spool_max_size = service.settings.max_body + 1
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many"):
            raise _too_many(most) from None
        raise refused(422, "invalid-form", f"The form can not be read: {error.message}") from None
    except UnicodeError:  # what some of Python's codecs raise, which a charset may name
        raise refused(422, "invalid-form", "The form's names can not be read in its charset; leave that out.") from None
    try:
        uploads: list[tuple[str, Any]] = [
            (name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)
        ]
        others = sorted({name[:50] for name, _ in form.multi_items() if name != FIELD})
        files = [upload for name, upload in uploads if name == FIELD]
        if not files or len(files) != len(uploads):
            found = f"found {', '.join(map(repr, others))}" if others else "found none"
            raise refused(422, "wrong-field", f"Images are expected as files in fields called `{FIELD}`; {found}.")
        if len(files) > most:
            raise _too_many(most)
        return [await file.read() for file in files]
    finally:
        await form.close()


def _too_many(most: int) -> Exception:
    return refused(413, "too-many-images", f"A request may have at most {most} images.")
