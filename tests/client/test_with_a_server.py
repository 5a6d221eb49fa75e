"""The clients, sessions and the command line against `pocketvision serve` in another process."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import COLOURS, Running, Start, picture
from stopped_clock import Clock

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.cli.main import main
from pocketvision.client import AsyncClient, Backoff, Client, ConnectionFailedError, Outcome, ServerProblemError
from pocketvision.serving.keys import new_key
from pocketvision.workflows.client import wait_until_ready

LABELS = tuple(COLOURS)


def run(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of a red, a green and a blue picture, and a file that is none."""
    folder = tmp_path / "사진 모음"
    folder.mkdir()
    for number, label in enumerate(LABELS):
        (folder / f"{number} {label}.jpg").write_bytes(picture(label))
    (folder / "9 broken.png").write_bytes(b"no image")
    return folder


def labels_of(outcomes: Iterable[Outcome]) -> list[str | None]:
    return [each.prediction.label if each.prediction else None for each in outcomes]


def test_everything_a_client_does(start: Start, pictures: Path) -> None:
    server = start()
    with Client(server.url + "/") as client:
        assert (client.ready(), client.health()) == (True, "alive")
        (model,) = client.models()
        assert (model.name, model.labels, model.height, model.width) == ("tiny", LABELS, 16, 16)
        blue = np.zeros((30, 40, 3), np.uint8)
        blue[:, :, 2] = 250
        for image in (
            pictures / "2 파랑.jpg",
            str(pictures / "2 파랑.jpg"),
            picture("파랑"),
            blue,
            Image.fromarray(blue),
        ):
            answer = client.predict(image, top_k=2, model="tiny", version=model.version)
            assert (answer.label, len(answer.top), answer.model.version) == ("파랑", 2, model.version)
            assert answer.top[0].probability == answer.probability > 0.3
            assert answer.timings.batch == 1
        assert labels_of(client.predict_many(sorted(pictures.iterdir()))) == [*LABELS, None]
        for options, status, kind in (({"model": "x"}, 404, "unknown-model"), ({"top_k": 0}, 422, "invalid-request")):
            with pytest.raises(ServerProblemError) as raised:
                client.predict(picture("red"), **options)  # type: ignore[arg-type]
            assert (raised.value.status, raised.value.kind) == (status, kind)
        with pytest.raises(ServerProblemError, match="reload-needs-keys"):
            client.reload("tiny")
        with pytest.raises(ServerProblemError, match="413 body-too-large"):
            client.predict(b"x" * 21 * 1024 * 1024)
    server.stop()


def test_the_same_for_asyncio_and_in_a_session(start: Start, pictures: Path) -> None:
    server = start()
    files = sorted(pictures.iterdir())

    async def work() -> None:
        async with AsyncClient(server.url) as client:
            assert await client.ready()
            assert (await client.predict(files[2])).label == "파랑"
            assert labels_of([each async for each in client.predict_many(files)]) == [*LABELS, None]
            async with client.session() as session:
                assert await session.health() == "ready"
                answers = await asyncio.gather(*[session.predict(picture(LABELS[n % 3]), top_k=1) for n in range(50)])
                assert [each.label for each in answers] == [LABELS[n % 3] for n in range(50)]
                assert labels_of([each async for each in session.predict_many(files)]) == [*LABELS, None]

    asyncio.run(work())
    with Client(server.url) as client, client.session() as session:
        assert session.health() == "ready"
        assert session.predict(files[2]).label == "파랑"
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda n: session.predict(picture(LABELS[n % 3])).label, range(50)))
        assert answers == [LABELS[n % 3] for n in range(50)]
        large = b"x" * 5_000_000  # more than a message may have
        assert labels_of(session.predict_many([*files, large, files[0]])) == [*LABELS, None, None, "red"]
    server.stop()


def test_keys_and_reloads(start: Start, tiny_bundle: Bundle) -> None:
    key, kept = new_key("camera-7")
    server = start(POCKETVISION_API_KEYS=f"{kept.name}:{kept.sha256}")
    for wrong in (None, "wrong"):
        with Client(server.url, key=wrong) as client:
            assert client.ready()
            with pytest.raises(ServerProblemError, match="401 unauthorized"):
                client.models()
            with pytest.raises(ServerProblemError, match="401 unauthorized"), client.session():
                pass
    with Client(server.url, key=key) as client:
        with client.session() as session:
            assert session.predict(picture("green")).label == "green"
        before = client.models()[0].version
        rewrite_bundle(tiny_bundle, replace(tiny_bundle.manifest, architecture={"name": "another"}))
        (state,) = client.reload("tiny")
        assert state.version == client.models()[0].version != before
        (tiny_bundle.folder / "model.onnx").write_bytes(b"x")
        with pytest.raises(ServerProblemError, match="409 bundle-refused"):
            client.reload("tiny")
        assert client.predict(picture("green")).label == "green"
    _, log = server.stop()
    assert key not in log


def test_a_rate_limit_slows_many_images_and_loses_none(start: Start) -> None:
    key, kept = new_key("camera-7")
    server = start("--rate", "3", POCKETVISION_API_KEYS=f"{kept.name}:{kept.sha256}")
    with Client(server.url, key=key) as client:
        outcomes = list(client.predict_many([picture(LABELS[n % 3]) for n in range(12)], concurrency=4))
    assert labels_of(outcomes) == [LABELS[n % 3] for n in range(12)]
    assert any(each.prediction and each.prediction.attempts > 1 for each in outcomes)
    server.stop()


Many = Callable[[Client, Iterable[bytes]], Iterator[Outcome]]


def over_http(client: Client, images: Iterable[bytes]) -> Iterator[Outcome]:
    return client.predict_many(images, concurrency=4)


def over_a_session(client: Client, images: Iterable[bytes]) -> Iterator[Outcome]:
    with client.session(in_flight=4) as session:
        yield from session.predict_many(images)


@pytest.mark.parametrize(("many", "by"), [(over_http, signal.SIGKILL), (over_a_session, signal.SIGTERM)])
def test_a_server_that_is_killed_and_comes_back_loses_no_image(start: Start, many: Many, by: int) -> None:
    server = start()
    again: list[Running] = []

    def replace_server() -> None:
        server.stop(by)
        again.append(start("--port", str(server.port)))

    images = (picture(LABELS[number % 3]) for number in range(150))
    replacing = threading.Thread(target=replace_server)
    outcomes: list[Outcome] = []
    with Client(server.url, retries=100, backoff=Backoff(most=0.3)) as client:
        for outcome in many(client, images):
            outcomes.append(outcome)
            if len(outcomes) == 30:
                replacing.start()
            if len(outcomes) == 60:
                replacing.join()  # at most 8 more were read: the rest is the new server's
    assert labels_of(outcomes) == [LABELS[number % 3] for number in range(150)]
    again[0].stop()


# The command line -----------------------------------------------------------------------------------------------------


def test_rows_are_those_of_predict(
    start: Start, pictures: Path, tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start()
    for name in ("rows.csv", "rows.jsonl"):
        assert run("predict", tiny_bundle.folder, pictures, "--top-k", 2, "--out", tmp_path / "local" / name) == 1
        assert run("client", "predict", server.url, pictures, "--top-k", 2, "--out", tmp_path / "remote" / name) == 1
        here, there = ((tmp_path / place / name).read_text(encoding="utf-8") for place in ("local", "remote"))
        assert here.splitlines()[:-1] == there.splitlines()[:-1]
        assert "not an image of a known format" in there.splitlines()[-1]
    assert "4 images in" in capsys.readouterr().err
    assert run("client", "predict", server.url, pictures / "2 파랑.jpg", "--json", tmp_path / "summary.json") == 0
    assert capsys.readouterr().out.startswith(f"{pictures / '2 파랑.jpg'}\t파랑\t0.")
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert (summary["images"], summary["failed"], summary["retries"]) == (1, 0, 0)
    assert run("client", "predict", server.url, f"{pictures}/*.jpg", "--concurrency", 2, "--model", "tiny") == 0
    server.stop()


def test_what_is_served_and_whether_it_is_ready(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    server = start()
    assert run("client", "models", server.url) == 0
    assert {"tiny", "channel_means", "16", "3"} <= set(capsys.readouterr().out.split())
    assert run("client", "models", server.url, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)[0]["labels"] == list(LABELS)
    assert run("client", "ready", server.url) == 0
    server.stop()
    assert run("client", "ready", server.url) == 1
    assert capsys.readouterr().out.split("\n")[:2] == ["ready", "not ready"]
    starting = threading.Timer(0.3, lambda: start("--port", str(server.port)))
    starting.start()
    assert run("client", "ready", server.url, "--wait", 30) == 0
    starting.join()


def test_a_host_that_is_unknown_is_waited_for_and_then_reported(clock: Clock) -> None:
    with pytest.raises(ConnectionFailedError, match="no connection"):
        wait_until_ready("http://no.such.host.invalid", 1.0, clock=lambda: clock.now, sleep=clock.sleep)
    assert sum(clock.pauses) == pytest.approx(1.0)


def test_keys_come_from_a_file_or_the_environment(
    start: Start, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key, kept = new_key("camera-7")
    server = start(POCKETVISION_API_KEYS=f"{kept.name}:{kept.sha256}")
    image = pictures / "0 red.jpg"
    assert run("client", "predict", server.url, image) == 1
    assert "401 unauthorized" in capsys.readouterr().err
    file = tmp_path / "key.txt"
    for content, code in ((f"{key}\n", 0), ("wrong", 1), ("", 2), ("two keys", 2), (f"{kept.name}:{kept.sha256}", 2)):
        file.write_text(content, encoding="utf-8")
        assert run("client", "predict", server.url, image, "--key-file", file) == code
        said = capsys.readouterr()
        assert not content or content.strip() not in said.out + said.err
    assert run("client", "predict", server.url, image, "--key-file", tmp_path / "missing") == 2
    monkeypatch.setenv("POCKETVISION_API_KEY", key)
    assert run("client", "predict", server.url, image) == 0
    assert run("client", "reload", server.url, "tiny") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("tiny\t")
    assert run("client", "reload", server.url, "no such") == 1
    server.stop()


def test_what_would_fail_for_every_image_ends_the_run(
    start: Start, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start()
    out = tmp_path / "rows.csv"
    assert run("client", "predict", server.url, pictures, "--model", "other", "--out", out) == 1
    assert "unknown-model" in capsys.readouterr().err
    assert run("client", "predict", f"{server.url}/elsewhere", pictures, "--out", out) == 1
    assert "404" in capsys.readouterr().err
    server.stop()
    assert run("client", "predict", server.url, pictures, "--retries", 1, "--out", out) == 1
    said = capsys.readouterr().err
    assert "Trying again" in said
    assert "Connection refused), after 2 attempts" in said.replace("\n", " ")
    assert not out.exists()  # nothing was answered, and an earlier file would have stayed
    assert run("client", "predict", "localhost:8000", pictures) == 2
    assert run("client", "predict", server.url, tmp_path / "no*thing") == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_it_while_nothing_answers(pictures: Path) -> None:
    script = (
        "import signal\n"
        # A shell's background jobs ignore SIGINT.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pocketvision.cli.main import main\nmain()"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        child = subprocess.Popen(
            [sys.executable, "-c", script, "client", "predict", url, str(pictures)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(10)
            child.send_signal(signal.SIGINT)
            out, error = child.communicate(timeout=20)
    assert (child.returncode, out, error.strip()) == (130, "", "Interrupted.")


def test_without_the_extra_the_install_line_is_reported(pictures: Path) -> None:
    script = (
        "import sys\nclass Absent:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('httpx', 'anyio', 'websockets'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\nfrom pocketvision.cli.main import main\nmain()"
    )
    arguments = [sys.executable, "-c", script, "client", "predict", "http://127.0.0.1:1", str(pictures)]
    child = subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8", check=False)
    assert child.returncode == 2
    assert 'pip install "pocketvision[client]"' in " ".join(child.stderr.split())
    assert "Traceback" not in child.stderr
