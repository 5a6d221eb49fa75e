"""POST /predict and /predict_base64: images in, answers out."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from pocketvision.json_text import json_text
from pocketvision.printable import counted, quoted
from pocketvision.serving.answers import PredictionAnswer
from pocketvision.serving.asking import asked, check_room
from pocketvision.serving.json_bodies import image_of, parsed
from pocketvision.serving.names import CheckedRoute, check_names
from pocketvision.serving.problems import ProblemError, refused
from pocketvision.serving.request_body import chunks, unless_disconnected, whole_body
from pocketvision.serving.request_options import OPTIONS, SCHEMAS, RequestOptions, joined, options_from, options_in_text
from pocketvision.serving.service import Reservation, Service, request_id_of, service_of

FIELD = "file"
JSON_NAMES = ("image", *OPTIONS)
_FIELD_SIZE = 1024  # bytes of a form's text field

router = APIRouter(route_class=CheckedRoute)

# Read by hand: it is what the framework would take longest for (a tenth of the event loop's time for a request).
_QUERY: list[dict[str, Any]] = [
    {
        "name": name,
        "in": "query",
        "description": schema["description"],
        "schema": {member: value for member, value in schema.items() if member != "description"},
    }
    for name, schema in SCHEMAS.items()
]
_IMAGES = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": [FIELD],
            "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}, **SCHEMAS},
        }
    },
    "image/*": {"schema": {"type": "string", "format": "binary"}},
}
_BASE64 = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": {"type": "string", "format": "byte", "description": "Base64, or a data URL."},
                **SCHEMAS,
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
    """One image as the body, with its content type, or one or several as `file` fields of a form, which may have the query's
    names as fields too."""
    service = service_of(request)
    options = options_from(query := options_in_text(request.query_params))
    check_room(service, options)
    with service.bodies.reserve() as reservation:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            images, fields = await _form(request, service, reservation)
            options = options_from(joined(query, fields, "the form"))
        elif kind.startswith("image/") or kind == "application/octet-stream":
            images = [await whole_body(request, service, reservation)]
        else:
            raise refused(
                415,
                "unsupported-media-type",
                f"The content type is {kind[:100]!r}; expected multipart/form-data with `{FIELD}` fields, or "
                "image/…; JSON with base64 goes to predict_base64.",
            )
        return await _answered(request, service, images, options)


@router.post(
    "/predict_base64",
    summary="Classify an image in JSON",
    response_model=PredictionAnswer,
    openapi_extra={"parameters": _QUERY, "requestBody": {"required": True, "content": _BASE64}},
)
async def predict_base64(request: Request) -> Response:
    """An object with the image as base64 text; the query's names beside it or in the query."""
    service = service_of(request)
    options = options_from(query := options_in_text(request.query_params))
    check_room(service, options)
    with service.bodies.reserve() as reservation:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise refused(
                415,
                "unsupported-media-type",
                f"The content type is {kind[:100]!r}; expected application/json; an image as it is goes to predict.",
            )
        values = await parsed(await whole_body(request, service, reservation), service.settings.max_json_depth)
        check_names(values, JSON_NAMES, "the JSON object")
        options = options_from(joined(query, values, "the JSON object"))
        return await _answered(request, service, [await image_of(values.get("image"))], options)


async def _answered(request: Request, service: Service, images: list[bytes], options: RequestOptions) -> Response:
    answer = await unless_disconnected(request, asked(service, images, options, request_id_of(request)))
    return Response(_json(answer), media_type="application/json")


def _json(answer: dict[str, Any]) -> bytes:
    try:
        return to_json(answer)
    except ValueError:  # a class whose name is not UTF-8
        return json_text(answer).encode()


async def _form(request: Request, service: Service, reservation: Reservation) -> tuple[list[bytes], dict[str, Any]]:
    """The contents of a form's `file` fields, and its options. Kept in memory: nothing a client sends is written to a file."""
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
        items: list[tuple[str, Any]] = form.multi_items()
        files = [upload for name, upload in items if name == FIELD and isinstance(upload, UploadFile)]
        texts = [(name, value) for name, value in items if isinstance(value, str)]
        misnamed = sorted({name for name, value in items if name != FIELD and isinstance(value, UploadFile)})
        if not files or misnamed or any(name == FIELD for name, _ in texts):
            raise _wrong_field(sorted({name for name, _ in items}))
        check_names((name for name, _ in texts), OPTIONS, "the form")
        if len(files) > most:
            raise _too_many(most)
        return [await file.read() for file in files], options_in_text(dict(texts))
    finally:
        await form.close()


def _wrong_field(found: list[str]) -> ProblemError:
    names = ", ".join(map(quoted, found[:8])) if found else "none"
    return refused(
        422, "wrong-field", f"Images are expected as files in fields called `{FIELD}`; the form's fields: {names}."
    )


def _too_many(most: int) -> Exception:
    return refused(413, "too-many-images", f"A request may have at most {counted(most, 'image')}.")
