"""No secret is shown, however a URL is written; what is plainly none stays."""

import time

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pocketvision.redaction import looks_like_url, redacted, redacted_url

NASTY = st.text(alphabet="@/#%:?&=;,+$!'\"\\ []{}<>|^`~*()._-aZ09é\t", min_size=4, max_size=24)
WITHOUT_SPACE = NASTY.filter(lambda text: not any(character.isspace() for character in text))

USERINFO = (
    "rtsp://admin:{}@cam.example:554/live",
    "rtsp://{}@cam.example/live",
    "http://user:{}@10.0.0.7:8000",
    "rtsps://user:{}@[fe80::1]:322/x",
    "rtsp:/admin:{}@cam.example/live",
    "rtps//admin:{}@cam.example/live",
    "rtsp//admin:{}@cam.example/live",
    "rtsp;//admin:{}@cam.example/live",
    "rstp://admin:{}@cam.example/live",
    "rtsp:///admin:{}@cam.example/live",
    "rtps/admin:{}@cam.example/live",
    "http:\\\\admin:{}@cam.example\\live",
)
PATHS = (
    "rtsp://cam.example:554/user=admin_password={}_channel=1_stream=0.sdp",
    "rtsp://cam.example/live?user=admin&password={}",
    "http://cam.example/snapshot.cgi?pwd={}&x=1",
    "https://cam.example/live#token={}",
    "https://cam.example/live;key={}",
    "rtsp:/cam.example/live?token={}",
)
BARE = ("admin:{}@cam.example/live", "rtsp:admin:{}@cam.example", "rtspx://admin:{}@cam.example")


def _not_shown(password: str, template: str, shown: str) -> None:
    assume(password not in template.replace("{}", ""))
    assert password not in shown, f"{template} shows {password!r}: {shown}"


@pytest.mark.parametrize("template", USERINFO + PATHS + BARE)
@given(password=NASTY)
@example(password="p@ss")
@example(password="a/b@c")
@example(password="a#b?c=d")
@example(password="p%40ss")
@example(password="554/x")
@settings(max_examples=40, deadline=None)
def test_a_url_is_shown_without_its_secret(template: str, password: str) -> None:
    shown = redacted_url(template.format(password))
    _not_shown(password, template, shown)
    assert redacted_url(shown) == shown


@pytest.mark.parametrize("template", USERINFO)
@pytest.mark.parametrize(
    "sentence", ["{}", "{}: refused", "can not open '{}' (404)", "http://other.example/a, then {}"]
)
@given(password=NASTY)
@settings(max_examples=20, deadline=None)
def test_a_text_is_shown_without_the_secret_of_its_url(sentence: str, template: str, password: str) -> None:
    shown = redacted(sentence.format(template.format(password)))
    _not_shown(password, sentence + template, shown)
    assert redacted(shown) == shown


@pytest.mark.parametrize("template", PATHS + BARE)
@given(password=WITHOUT_SPACE)
@settings(max_examples=20, deadline=None)
def test_a_secret_in_a_path_or_query_is_hidden_in_a_text(template: str, password: str) -> None:
    _not_shown(password, template, redacted(f"Error: {template.format(password)} can not be opened"))


def test_what_is_plain_stays() -> None:
    for text in (
        "rtsp://cam.example:554/live",
        "http://[::1]:8000/predict",
        "https://hub.example/timm/a.b_c/resolve/main/model.safetensors: 404 Not Found",
        "(see http://127.0.0.1:8000/docs).",
        "data/photos@2x/cat.jpg: broken",
        "C:\\data\\cat@home.jpg: broken",
        "/data/x=1/y.jpg and data//z.jpg",
        "ask admin@example.com",
        "12:30: nothing @ all",
        "runs/[x/bundle: folder is not there",
    ):
        assert redacted(text) == text


def test_what_is_left_of_a_url_tells_which_it_was() -> None:
    assert redacted_url("rtsp://me:secret@host:554/live?token=secret") == "rtsp://…@host:554/live?…"
    assert redacted_url("rtsp://host/user=admin_password=x_channel=1.sdp") == "rtsp://host/user=…"
    assert redacted_url("rtmp://host/app/live_1234") == "rtmp://host/app/…"
    both = "rtsp://a:b@one.example/x or rtsp://c:d@two.example/y: refused"
    assert redacted(both) == "rtsp://…@one.example/x or rtsp://…@two.example/y: refused"


@pytest.mark.parametrize("text", ["http/a:", "http://", "http/a:b@ ", "ab//", "a:", "token=", "rtsp://u:p"])
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()
    redacted(text * 100_000 + "@")
    assert time.process_time() - started < 5


def test_values_beside_secret_names_are_hidden_without_a_url() -> None:
    assert redacted("Authorization: Bearer abc.def") == "Authorization: Bearer …"
    assert redacted("connect(password=hunter two)") == "connect(password=…"
    assert redacted("X-API-Key: abc, more") == "X-API-Key: …"
    assert redacted("{'x-api-key': 'abc'}") == "{'x-api-key': …"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password: hunter two", "password: …"),
        ("login failed (Password : hunter2)", "login failed (Password : …"),
        ('{"user": "me", "password": "hunter2", "more": 1}', '{"user": "me", "password": …'),
        ("{'pwd': 'hunter2'}", "{'pwd': …"),
        (r"body {\"client_secret\": \"hunter2\"}", r"body {\"client_secret\": …"),
        ("token: hunter2", "token: …"),
        ("my token: hunter2", "my token: …"),
        ("refresh_token: hunter2", "refresh_token: …"),
        ("API-Key:hunter2", "API-Key:…"),
        ("secret => hunter2", "secret => …"),
        ("token=hunter2", "token=…"),
        ("passphrase: http://hunter2/x", "passphrase: …"),
        ('"password": "rtsp://hunter2@x"', '"password": …'),
        ("password=http://hunter2", "password=…"),
        ("password: my http://hunter2/ and more", "password: …"),
        ("see http://host/a and password: hunter2", "see http://host/a and password: …"),
        ("password: hunter2\nnext: line", "password: …\nnext: line"),
    ],
)
def test_a_value_behind_the_name_of_a_secret_is_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "unexpected token: <EOF>",
        "stem.class_token: the shape is (1, 192), expected (1, 1, 192)",
        "12 tokens: 5 of them new",
        "password: <your password>",
        "no password is needed",
        "Enter the password:",
        "the keys: a, b",
    ],
)
def test_a_sentence_without_a_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Send it as `Authorization: Bearer KEY`, or in `X-API-Key`.",
        "Authorization: Bearer <your key>",
        'curl -H "Authorization: Bearer KEY" http://host/predict',
        "Authorization: KEY",
        "curl -H 'X-API-Key: KEY'",
        "Bearer TOKEN.",
    ],
)
def test_a_placeholder_of_instructions_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("key", ["KEYabc", "KEY-1", "KEY.abc", "key", "<a>b", "KEY=", "KEYKEY", "<1>", "KEY/x"])
def test_what_only_begins_like_a_placeholder_is_hidden(key: str) -> None:
    assert redacted(f"Authorization: Bearer {key}") == "Authorization: Bearer …"
    assert redacted(f"Bearer {key}") == "Bearer …"


def test_a_value_behind_a_placeholder_is_hidden_all_the_same() -> None:
    assert redacted("Bearer KEY, not Bearer abc") == "Bearer KEY, not Bearer …"
    assert redacted("password=KEY hunter") == "password=…"


def test_a_misspelt_url_is_distinguished_from_a_path() -> None:
    assert all(map(looks_like_url, ("rtsp://x", "rtsp:/x", "rtps//x", "rstp://x", "htp://x", "rtsp;//x")))
    assert not any(map(looks_like_url, ("runs/x", "data//x", "C:\\x", "C:/x", "/data/x", "x.mp4", "2024:/x")))
