"""Which web pages may ask: CORS over HTTP, the origin of WebSockets, and servers whose public address a proxy hides."""

import pytest
from fastapi.testclient import TestClient
from served import picture, serving
from starlette.datastructures import Headers
from starlette.testclient import WebSocketDenialResponse

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.serving.keys import new_key
from pocketvision.serving.live import LiveSettings
from pocketvision.serving.origins import foreign_origin
from pocketvision.serving.settings import ServerSettings

PAGE = "https://page.example"
OTHER = "https://other.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key, content-type"}


def allowed(*origins: str, **settings: object) -> ServerSettings:
    """Settings that allow these origins."""
    return ServerSettings(allow_origins=origins, **settings)  # type: ignore[arg-type]


def cors(headers: object) -> dict[str, str]:
    """The CORS headers of a response."""
    return {name: value for name, value in dict(headers).items() if name.startswith("access-control-")}  # type: ignore[call-overload]


def test_by_default_no_other_site_may_read_an_answer(client: TestClient) -> None:
    answer = client.get("/models", headers={"origin": PAGE})
    assert answer.status_code == 200
    assert cors(answer.headers) == {}
    preflight = client.options("/predict", headers={"origin": PAGE, **PREFLIGHT})
    assert preflight.status_code == 405
    assert cors(preflight.headers) == {}


def test_an_allowed_site_may_send_keys_and_read_answers_and_errors(tiny_bundle: Bundle) -> None:
    key, kept = new_key("page")
    with serving(tiny_bundle.folder, settings=allowed(PAGE, keys=(kept,))) as client:
        preflight = client.options("/predict", headers={"origin": PAGE, **PREFLIGHT})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == PAGE
        sent = preflight.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "x-api-key", "content-type", "x-request-id"} <= set(sent)
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in preflight.headers
        asked = {"origin": PAGE, "x-api-key": key, "content-type": "image/jpeg"}
        answer = client.post("/predict", content=picture("red"), headers=asked)
        refused = client.post("/predict", content=picture("red"), headers={**asked, "x-api-key": "wrong"})
        unknown = client.get("/no-such-path", headers=asked)
        assert [each.status_code for each in (answer, refused, unknown)] == [200, 401, 404]
        for each in (answer, refused, unknown):
            assert each.headers["access-control-allow-origin"] == PAGE
            assert "X-Request-ID" in each.headers["access-control-expose-headers"]
            assert each.headers["vary"] == "Origin"


def test_other_sites_stay_without(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.folder, settings=allowed(PAGE)) as client:
        for origin in (OTHER, "null", f"{PAGE}.evil.example", "http://page.example", f"{PAGE}:8443"):
            assert cors(client.get("/models", headers={"origin": origin}).headers) == {}
            assert client.options("/predict", headers={"origin": origin, **PREFLIGHT}).status_code == 405
        assert client.get("/models").headers["vary"] == "Origin"


def test_a_star_allows_every_site(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.folder, settings=allowed("*")) as client:
        assert client.get("/models", headers={"origin": OTHER}).headers["access-control-allow-origin"] == "*"
        with client.websocket_connect("/ws", headers={"origin": OTHER}) as socket:
            socket.send_json({"type": "health_check"})
            assert socket.receive_json()["status"] == "ready"


def test_the_list_holds_for_websockets_and_streams_too(tiny_bundle: Bundle) -> None:
    key, kept = new_key("page")
    settings = allowed(PAGE, keys=(kept,), live=LiveSettings())
    with serving(tiny_bundle.folder, settings=settings) as client:
        sent = {"x-api-key": key}
        with client.websocket_connect("/ws", headers={**sent, "origin": PAGE}) as socket:
            socket.send_json({"type": "health_check"})
            assert socket.receive_json()["status"] == "ready"
        for path, origin, status in (
            ("/ws", OTHER, 403),
            ("/live/x", OTHER, 403),
            ("/live/x", PAGE, 404),  # allowed; there is no such stream
            ("/live/x/publish", PAGE, 403),  # pages never publish
        ):
            with (
                pytest.raises(WebSocketDenialResponse) as denied,
                client.websocket_connect(path, headers={**sent, "origin": origin}),
            ):
                pass
            assert denied.value.status_code == status
        shown = {"sec-fetch-site": "cross-site", **sent}
        assert client.get("/live/x.mjpeg", headers={**shown, "origin": OTHER}).status_code == 403
        assert client.get("/live/x.mjpeg", headers={**shown, "origin": PAGE}).status_code == 404


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://vision.example:8443", "vision.example:8443"),
        ("https://vision.example", "vision.example:443"),
        ("https://vision.example:443", "vision.example"),
        ("http://vision.example", "vision.example:80"),
        ("https://VISION.example", "vision.example"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_the_servers_own_pages_however_the_port_is_written(origin: str, host: str) -> None:
    assert foreign_origin(Headers({"origin": origin, "host": host}), (), "") is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://vision.example:8443", "vision.example"),  # a proxy that drops the port
        ("https://vision.example", "server:8000"),  # one that changes Host
        ("https://vision.example", "127.0.0.1:8000"),
    ],
)
def test_a_hidden_address_is_refused_with_both_values_and_mended_by_the_public_address(origin: str, host: str) -> None:
    headers = Headers({"origin": origin, "host": host})
    problem = foreign_origin(headers, (), "")
    assert problem is not None
    assert f"'{origin}'" in problem.detail
    assert f"'{host}'" in problem.detail
    assert "--public-url" in problem.detail
    assert foreign_origin(headers, (), f"{origin}/vision") is None
    assert foreign_origin(headers, (), "https://elsewhere.example") is not None


@pytest.mark.parametrize(
    "origin", ["null", "https://", "https://vision.example:x", "vision.example", "", "https://a@vision.example:1"]
)
def test_what_is_no_origin_is_foreign(origin: str) -> None:
    assert (
        foreign_origin(Headers({"origin": origin, "host": "vision.example"}), (), "https://vision.example") is not None
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "page.example",
        "https://page.example/path",
        "https://",
        "https://a:b@page.example",
        "https://x:y",
        "https://*.a.example",
        "https://bücher.example",
    ],
)
def test_an_origin_that_is_none_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(UsageError, match="the origin") as caught:
        allowed(wrong)
    assert "a:b" not in str(caught.value)


def test_origins_are_brought_into_one_form() -> None:
    assert allowed("HTTPS://Page.example/", "https://page.example").allow_origins == ("https://page.example",)
    ports = allowed("https://page.example:443", "http://page.example:80/", "http://page.example:443", "http://[::1]:80")
    assert ports.allow_origins == (
        "https://page.example",
        "http://page.example",
        "http://page.example:443",
        "http://[::1]",
    )
    with pytest.raises(UsageError, match="public address") as caught:
        ServerSettings(public_url="https://user:secret@example.org")
    assert "secret" not in str(caught.value)
