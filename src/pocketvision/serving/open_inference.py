"""The Open Inference Protocol (KServe's v2 REST), with Triton's binary tensor extension.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

import asyncio
import time
from importlib.metadata import version as installed
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from pocketvision.errors import UsageError
from pocketvision.printable import counted
from pocketvision.serving.json_bodies import parsed
from pocketvision.serving.json_response import JsonResponse
from pocketvision.serving.names import CheckedRoute, check_names
from pocketvision.serving.problems import refused, retry_after
from pocketvision.serving.request_body import unless_disconnected, whole_body
from pocketvision.serving.served_model import ServedModel, ServedPrediction
from pocketvision.serving.service import Service, service_of
from pocketvision.serving.tensors import HEADER_LENGTH, OutputTensor, images_of, response_body
from pocketvision.tasks.classification.task import CLASSIFICATION

INPUT = "images"
LABEL = "label"
"""An output besides the graph's, where a classification is a model's only task: the names of the most probable classes."""

REQUEST_NAMES = ("id", "parameters", "inputs", "outputs")
REQUEST_PARAMETERS = ("binary_data_output",)
INPUT_NAMES = ("name", "shape", "datatype", "parameters", "data")
INPUT_PARAMETERS = ("binary_data_size",)
OUTPUT_NAMES = ("name", "parameters")
OUTPUT_PARAMETERS = ("binary_data",)
IN_THE_PATH = "it stands in the path: …/models/NAME/infer"
VERSION_IN_THE_PATH = "it stands in the path: …/models/NAME/versions/VERSION/infer"
HINTS = {
    "model": IN_THE_PATH,
    "model_name": IN_THE_PATH,
    "version": VERSION_IN_THE_PATH,
    "model_version": VERSION_IN_THE_PATH,
}


class _ModelRoute(CheckedRoute):
    hints = HINTS


router = APIRouter(prefix="/v2", route_class=_ModelRoute)

_TENSORS = {"application/json": {"schema": {"type": "object", "required": ["inputs"]}}}


@router.get("/health/live", summary="Is the server alive?")
async def live() -> JsonResponse:
    """200 as long as the event loop turns."""
    return JsonResponse({"live": True})


@router.get("/health/ready", summary="Are all models ready?")
async def ready(request: Request) -> JsonResponse:
    """200 when they are, else 503."""
    if not service_of(request).models.ready:
        raise refused(503, "not-ready", "The models are not ready.", retry_after(1))
    return JsonResponse({"ready": True})


@router.get("", summary="What is this server?")
async def server() -> JsonResponse:
    """Name, version and extensions."""
    return JsonResponse(
        {"name": "pocketvision", "version": installed("pocketvision"), "extensions": ["binary_tensor_data"]}
    )


@router.get("/models/{name}", summary="A model's inputs and outputs")
@router.get("/models/{name}/versions/{version}", summary="A version's inputs and outputs")
async def metadata(request: Request, name: str, version: str | None = None) -> JsonResponse:
    """`images` may also be sent as BYTES with the shape [N]: image files, which are decoded and preprocessed here."""
    model = service_of(request).models.get(name, version)
    size = model.bundle.preprocessing
    outputs: list[dict[str, Any]] = [
        {"name": LABEL, "datatype": "BYTES", "shape": [-1]}
        if name == LABEL
        else {"name": name, "datatype": "FP32", "shape": [-1, *model.outputs[name]]}
        for name in output_names(model)
    ]
    return JsonResponse(
        {
            "name": model.name,
            "versions": [each.version for each in service_of(request).models.all if each.name == model.name],
            "platform": "pocketvision",
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, 3, size.height, size.width]}],
            "outputs": outputs,
        }
    )


@router.get("/models/{name}/ready", summary="Is a model ready?")
@router.get("/models/{name}/versions/{version}/ready", summary="Is a version ready?")
async def model_ready(request: Request, name: str, version: str | None = None) -> JsonResponse:
    """200 when it is; 404 for a model that is not served."""
    model = service_of(request).models.get(name, version)
    return JsonResponse({"name": model.name, "ready": not model.batcher.closing})


_BODY = {"requestBody": {"required": True, "content": _TENSORS}}


@router.post("/models/{name}/infer", summary="Run a model", openapi_extra=_BODY)
@router.post("/models/{name}/versions/{version}/infer", summary="Run a version", openapi_extra=_BODY)
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    """One input, `images`: FP32 [N, 3, H, W], preprocessed, or BYTES [N], image files."""
    service = service_of(request)
    service.models.get(name, version).batcher.check_room(1)
    with service.bodies.reserve() as reservation:
        body = await whole_body(request, service, reservation)
        header_length = _header_length(request, len(body))
        asked = await parsed(body[:header_length], service.settings.max_json_depth)
        _check_names(asked)
        model = service.models.get(name, version)
        images = await asyncio.to_thread(_images, asked, body[header_length:], model, service)
        wanted = _requested_outputs(asked, output_names(model))
        deadline = time.monotonic() + service.settings.deadline
        predicted = service.models.predict(images, deadline=deadline, name=name, version=version)
        model, outcomes = await unless_disconnected(request, predicted)
    return _answer(asked, model, outcomes, wanted)


def _check_names(asked: dict[str, Any]) -> None:
    """Raise a 422 problem for a name that is not understood, at every level of the request."""
    check_names(asked, REQUEST_NAMES, "the request", HINTS)
    _check_parameters(asked, REQUEST_PARAMETERS, "the request")
    for member, names, parameters in (
        ("inputs", INPUT_NAMES, INPUT_PARAMETERS),
        ("outputs", OUTPUT_NAMES, OUTPUT_PARAMETERS),
    ):
        tensors = asked.get(member)
        for tensor in tensors if isinstance(tensors, list) else ():
            if isinstance(tensor, dict):
                check_names(tensor, names, f"an object of `{member}`")
                _check_parameters(tensor, parameters, f"an object of `{member}`")


def _check_parameters(holder: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    parameters = holder.get("parameters", {})
    if not isinstance(parameters, dict):
        raise UsageError(f"the parameters of {where} must be an object")
    check_names(parameters, known, f"`parameters` of {where}")


def _header_length(request: Request, size: int) -> int:
    """Length of the body's JSON part: all of it unless the client says so."""
    declared = request.headers.get(HEADER_LENGTH)
    if declared is None:
        return size
    if not declared.isdecimal() or len(declared) > 12 or int(declared) > size:
        raise refused(422, "invalid-request", f"{HEADER_LENGTH} must be a whole number, at most the body's length.")
    return int(declared)


def _images(asked: dict[str, Any], binary: bytes, model: ServedModel, service: Service) -> list[Any]:
    inputs = asked.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise UsageError(f"the request must have one input, {INPUT!r}")
    tensor = inputs[0]
    if tensor.get("name") != INPUT:
        raise UsageError(f"the input is called {str(tensor.get('name'))[:50]!r}; expected {INPUT!r}")
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (type(size) is not int or size != len(binary)):
        raise UsageError(f"binary_data_size is not {len(binary)}, the length of the binary data that came")
    if size is None and binary:
        raise UsageError(
            f"{counted(len(binary), 'byte')} behind the JSON, and no binary_data_size of the input says so"
        )
    preprocessing = model.bundle.preprocessing
    raw = binary if size is not None else None
    return list(images_of(tensor, raw, (preprocessing.height, preprocessing.width), service.settings.max_images))


def output_names(model: ServedModel) -> list[str]:
    """What a model puts out: its graph's outputs, of a classification alone the probabilities first, and the label."""
    if [task.kind for task in model.tasks.values()] != [CLASSIFICATION.kind]:
        return list(model.outputs)
    return [*reversed(model.bundle.task.outputs.values()), LABEL]


def _requested_outputs(asked: dict[str, Any], known: list[str]) -> list[tuple[str, bool]]:
    """Names of the outputs that are wanted, and whether as binary data. All of them when none is named."""
    parameters = asked.get("parameters")
    binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    outputs = asked.get("outputs") or [{"name": name} for name in known]
    if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
        raise UsageError("the outputs must be a list of objects with a name")
    wanted = []
    for each in outputs:
        if each.get("name") not in known:
            raise UsageError(f"there is no output {str(each.get('name'))[:50]!r}; there are {', '.join(known)}")
        own = each.get("parameters")
        wanted.append((each["name"], bool(own.get("binary_data", binary)) if isinstance(own, dict) else binary))
    return list(dict(wanted).items())


def _answer(
    asked: dict[str, Any],
    model: ServedModel,
    outcomes: list[ServedPrediction | Exception],
    wanted: list[tuple[str, bool]],
) -> Response:
    predictions = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):  # tensors have no place for one image's error
            raise outcome
        if outcome.errors:
            raise next(iter(outcome.errors.values()))
        predictions.append(outcome)
    outputs = [_tensor(name, predictions, binary) for name, binary in wanted]
    document: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if isinstance(asked.get("id"), str):
        document["id"] = asked["id"][:200].encode("utf-8", "replace").decode()
    body, header_length = response_body(document, outputs)
    if header_length is None:
        return Response(body, media_type="application/json")
    return Response(body, headers={HEADER_LENGTH: str(header_length)}, media_type="application/octet-stream")


def _tensor(name: str, predictions: list[ServedPrediction], binary: bool) -> OutputTensor:
    """An output of all images; of those that are several inputs of the network a row for each."""
    if name == LABEL:
        labels = [answer.label for each in predictions for answer in each.answers.values()]
        return OutputTensor(name, labels, (len(labels),), binary)
    values = np.concatenate([each.outputs[name] for each in predictions])
    return OutputTensor(name, values, values.shape, binary)
