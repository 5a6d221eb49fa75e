"""API keys and rates."""

import asyncio
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served import picture, serving

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.redaction import redacted
from pocketvision.serving.keys import TokenBuckets, acquire, name_of, new_key, parse_keys, read_keys
from pocketvision.serving.settings import ServerSettings

JPEG = {"content-type": "image/jpeg"}


def ask(client: TestClient, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/predict", content=picture("red"), headers={**JPEG, **named}).status_code


def test_only_a_known_key_may_ask_and_probes_need_none(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    (first, kept), (second, other) = new_key("camera-7"), new_key("phone")
    caplog.set_level("INFO", logger="pocketvision.access")
    with serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept, other))) as client:
        assert ask(client) == 401
        assert ask(client, authorization="Bearer wrong") == 401
        assert ask(client, authorization=f"Basic {first}") == 401
        assert ask(client, authorization=f"Bearer {first}") == 200
        assert ask(client, x_api_key=second) == 200
        assert ask(client, x_api_key=kept.sha256) == 401
        assert client.get("/models").status_code == client.get("/metrics").status_code == 401
        assert client.post("/nothing").status_code == 401
        for path in ("/health", "/ready", "/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200
        refused = client.get("/models")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "`Authorization: Bearer KEY`" in redacted(refused.json()["detail"])
        names = [record.request["key"] for record in caplog.records if record.name == "pocketvision.access"]  # type: ignore[attr-defined]
        assert "camera-7" in names
        assert "phone" in names
    assert first not in repr(caplog.records)
    assert first not in caplog.text


def test_a_key_has_its_own_rate(tiny_bundle: Bundle) -> None:
    (first, kept), (second, other) = new_key("a"), new_key("b")
    with serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept, other), rate=2)) as client:
        answers = [ask(client, x_api_key=first) for _ in range(4)]
        assert answers[:2] == [200, 200]
        assert answers[-1] == 429
        assert ask(client, x_api_key=second) == 200
        refused = client.get("/models", headers={"x-api-key": first})
        assert refused.json()["type"].endswith("rate-limit")
        assert int(refused.headers["retry-after"]) >= 1


def test_tokens_come_back_with_time() -> None:
    limit = TokenBuckets(2.0)
    assert [limit.try_acquire("a", now) for now in (0.0, 0.0)] == [0, 0]
    assert limit.try_acquire("a", 0.0) == pytest.approx(0.5)
    assert limit.try_acquire("a", 0.6) == 0
    assert limit.try_acquire("b", 0.6) == 0
    slow = TokenBuckets(0.1)
    assert slow.try_acquire("a", 0.0) == 0
    assert slow.try_acquire("a", 5.0) == pytest.approx(5.0)


def test_a_turn_takes_its_token() -> None:
    async def scene() -> float:
        limit, loop = TokenBuckets(50.0), asyncio.get_running_loop()
        began = loop.time()
        for _ in range(75):  # fifty at once, and one every 20 ms
            await acquire(limit, "a")
        return loop.time() - began

    assert asyncio.run(scene()) >= 0.48


def test_keys_are_read_from_lines_and_wrong_lines_are_not_repeated(tmp_path: Path) -> None:
    key, kept = new_key("a")
    file = tmp_path / "keys.txt"
    file.write_text(f"# ours\n\n{kept.name}:{kept.sha256.upper()}\n", encoding="utf-8")
    keys = read_keys(file)
    assert keys == (kept,)
    assert name_of(key, keys) == "a"
    assert name_of("", keys) is None
    assert name_of("\udcff", keys) is None
    assert name_of("\ud800", keys) is None
    for lines, place in (
        (["a:" + key], "line 1"),
        (["", f"a b:{kept.sha256}"], "line 2"),
        ([f"a:{kept.sha256}"] * 2, "twice"),
    ):
        with pytest.raises(UsageError, match=place) as error:
            parse_keys(lines, "keys.txt")
        assert key not in str(error.value)
    for text in ("", "# nothing\n"):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match="no key"):
            read_keys(file)
    for name in ("rate", "deadline", "keep_alive"):
        with pytest.raises(UsageError, match=f"{name} is nan"):
            ServerSettings(**{name: float("nan")})  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        read_keys(tmp_path / "absent")
    with pytest.raises(UsageError):
        new_key("a:b")
