"""The server's log holds no secret of a URL, and no line that a client forged."""

import json
import logging

import pytest
from fastapi.testclient import TestClient

from pocketvision.serving.access_log import _AccessLogFormatter

SECRET = "hunter2"


@pytest.mark.parametrize("as_json", [False, True])
def test_secrets_and_control_characters_are_not_logged(as_json: bool) -> None:
    try:
        raise OSError(f"no answer from https://me:{SECRET}@collector.example/v1?token={SECRET}")
    except OSError as error:
        caught = (OSError, error, error.__traceback__)
    message = f"rtsp://me:{SECRET}@camera\n2026-01-01 forged \x1b[31m"
    record = logging.LogRecord("pocketvision", logging.WARNING, __file__, 1, message, None, caught)
    line = _AccessLogFormatter(as_json=as_json).format(record)
    assert SECRET not in line
    assert "\x1b" not in line
    assert "collector.example" in line
    if as_json:
        assert json.loads(line)["level"] == "WARNING"
        assert "\n" not in line
    else:
        assert "\n2026-01-01 forged" not in line


def test_a_request_is_logged_without_query_and_assigned_secrets(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="pocketvision.access")
    client.get(f"/models?token={SECRET}")
    client.get(f"/predict;password={SECRET}")
    client.get("/models/tiny/none")
    requests = [vars(record)["request"] for record in caplog.records if record.name == "pocketvision.access"]
    assert SECRET not in repr(requests)
    assert requests[-1]["path"] == "/models/tiny/none"
    assert SECRET not in client.get("/metrics").text
