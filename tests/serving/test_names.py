"""Answers and logs hold every class name, also one that is not UTF-8, and no line that a client made up."""

import io
import json
import logging
import subprocess
import sys

import pytest

from pocketvision.serving.access_log import _AccessLogFormatter
from pocketvision.serving.json_response import JsonResponse
from pocketvision.serving.predict_routes import _json
from pocketvision.serving.problems import Problem, problem_response
from pocketvision.serving.tensors import _packed

NAME = "caf\udce9\x1b[31m\u202e"


def test_every_kind_of_answer_holds_a_name_that_is_not_utf_8() -> None:
    assert json.loads(bytes(JsonResponse({"labels": [NAME]}).body)) == {"labels": [NAME]}
    assert json.loads(_json({"label": NAME, "probability": 0.5}))["label"] == NAME
    problem = problem_response(Problem(422, "unknown-class", f"There is no {NAME}."), "1")
    assert json.loads(bytes(problem.body))["detail"] == f"There is no {NAME}."
    assert _packed([NAME])[4:8] == b"caf\xe9"


@pytest.mark.parametrize("as_json", [False, True])
def test_log_lines_are_single_and_without_secrets(as_json: bool) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_AccessLogFormatter(as_json=as_json))
    logger = logging.Logger("any")
    logger.addHandler(handler)
    logger.warning("lost %s (%s)", "rtsp://me:hunter2@cam/live", NAME + "\nforged")
    request = {
        "client": NAME,
        "key": None,
        "method": "GET",
        "path": f"/{NAME}\n",
        "status": 200,
        "ms": 1.0,
        "request_id": "1",
        "problem": "\x9b2J",
    }
    logger.info("", extra={"request": request})
    shown = stream.getvalue()
    assert len(shown.splitlines()) == 2 and "hunter2" not in shown
    assert not set(shown) & {"\x1b", "\u202e", "\udce9", "\x9b"}


def test_a_warning_about_pictures_is_a_line_of_the_log() -> None:
    script = (
        "import warnings\n"
        "from pocketvision.errors import PictureWarning\n"
        "from pocketvision.serving.access_log import log_to_stderr\n"
        "log_to_stderr(as_json=True)\n"
        "for _ in range(3): warnings.warn('too bright', PictureWarning)\n"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    (line,) = child.stderr.splitlines()
    assert "too bright" in json.dumps(json.loads(line)) and json.loads(line)["level"].lower() == "warning"
