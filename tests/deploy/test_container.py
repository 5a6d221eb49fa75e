"""The container file: what it says, what a linter says, and its steps done by hand where no engine builds it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from containerfile import CONTAINERFILE, DEPLOY, ROOT, environment, only, stages, values
from served import picture

from pocketvision.bundle import Bundle

HOME = "/opt/pocketvision"
BEFORE, BUILD, FINAL = stages()


def program(name: str) -> str | None:
    """Where a program is: beside this Python, where the extra `dev` puts it, or on the path."""
    return shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


# What it says ------------------------------------------------------------------------------------------------------------


def test_the_linter_finds_nothing() -> None:
    hadolint = program("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    linted = subprocess.run([hadolint, str(CONTAINERFILE)], capture_output=True, text=True, timeout=60, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_both_stages_have_one_base_that_can_be_chosen() -> None:
    name, _, default = only(BEFORE, "ARG").value.partition("=")
    assert name == "BASE"
    assert re.fullmatch(r"docker\.io/library/python:3\.1[123]-slim", default)
    assert [only(stage, "FROM").value for stage in (BUILD, FINAL)] == ["${BASE} AS build", "${BASE}"]


def test_the_last_stage_takes_the_environment_alone_and_drops_root() -> None:
    assert values(FINAL, "COPY") == [f"--from=build {HOME} {HOME}"]
    assert values(FINAL, "RUN") == values(FINAL, "ADD") == values(BUILD, "ADD") == []
    user, _, group = only(FINAL, "USER").value.partition(":")
    assert int(user) > 1000  # a number: Kubernetes' runAsNonRoot wants one
    assert user == group
    kept = [each.keyword for each in FINAL]
    assert kept.index("USER") > kept.index("COPY"), "what is copied belongs to root: the server can not change itself"


def test_settings_of_pip_stay_in_the_first_stage() -> None:
    given = values(BUILD, "ARG")
    assert given
    assert all(re.fullmatch(r"PIP_[A-Z_]+", name) for name in given), "without a default, pip does not see it"
    assert not [value for value in values(FINAL, "ARG") if value.startswith("PIP")]


def test_signals_reach_the_server_and_its_help_is_what_it_does_alone() -> None:
    assert only(FINAL, "ENTRYPOINT").words[:2] == ["pocketvision", "serve"]
    assert only(FINAL, "ENTRYPOINT").value.startswith("[")  # no shell between
    assert only(FINAL, "CMD").words == ["--help"]


def test_the_health_check_asks_the_port_that_is_exposed(serve_options) -> None:  # type: ignore[no-untyped-def]
    port = serve_options([*only(FINAL, "ENTRYPOINT").words[2:], "photos=/bundles/photos"])["port"]
    assert only(FINAL, "EXPOSE").value == str(port)
    assert f"'127.0.0.1', {port}" in only(FINAL, "HEALTHCHECK").words[-1]
    assert "/ready" in only(FINAL, "HEALTHCHECK").words[-1]


def test_labels_are_those_of_the_package() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', only(FINAL, "LABEL").value))
    assert labels["licenses"] == project["license"]
    assert {"title", "description", "source", "revision"} <= set(labels)


def test_nothing_else_is_sent_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = [source for value in values(BUILD, "COPY") for source in value.split()[:-1]]
    assert sorted(rule[1:] for rule in rules if rule.startswith("!")) == sorted(copied)


# Its steps by hand -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """What the build stage made. home: in place of /opt/pocketvision. variables: of the last stage."""

    home: Path
    variables: dict[str, str]


@pytest.fixture(scope="module")
def built() -> Iterator[Built]:
    """The first stage, step by step in a bare folder; the second's COPY leaves the environment where it is."""
    # Open to every user, unlike pytest's folders: the server is run as one who owns nothing.
    with tempfile.TemporaryDirectory(prefix="pocketvision-image-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        work, home = root / "build", root / "pocketvision"
        work.mkdir()
        ours = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        bare = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(work), **ours}
        for step in BUILD:
            if step.keyword == "COPY":
                *sources, target = step.value.split()
                for source in sources:
                    copy(ROOT / source, work / target)
            elif step.keyword == "RUN":
                command = step.value.replace(HOME, str(home))
                done = subprocess.run(
                    command, shell=True, cwd=work, env=bare, capture_output=True, text=True, timeout=300, check=False
                )
                assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(work)
        set_by_it = {name: value.replace(HOME, str(home)) for name, value in environment(FINAL).items()}
        yield Built(home, {**set_by_it, "PATH": set_by_it["PATH"].replace("${PATH}", "/usr/bin:/bin")})


def copy(source: Path, target: Path) -> None:
    """As COPY does: a folder's content, or a file into a folder."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copy(source, target / source.name)


def as_nobody(command: list[str]) -> list[str]:
    """The command as the image's user, who may read everything (Python may lie in root's home) and write nothing."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        return command
    user = only(FINAL, "USER").value.partition(":")[0]
    may = [
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ]
    return [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs", *may, "--", *command]


def run(built: Built, command: list[str]) -> "subprocess.CompletedProcess[str]":
    """A command of the image's in its environment, where HOME is not set."""
    return subprocess.run(
        as_nobody(command), env=built.variables, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the image is Linux's")
def test_its_steps_make_a_server_without_torch_of_the_stated_size(built: Built) -> None:
    looked = "import importlib.util as u; print([n for n in ('torch', 'torchvision', 'pip', 'onnx', 'cv2') if u.find_spec(n)])"
    assert run(built, ["python3", "-c", looked]).stdout.strip() == "[]"
    megabytes = sum(path.stat().st_size for path in built.home.rglob("*") if not path.is_symlink()) / 1e6
    stated = re.search(r"PocketVision and what it needs are (\d+) MB", (ROOT / "docs/deploy.md").read_text("utf-8"))
    assert stated
    assert megabytes == pytest.approx(int(stated[1]), rel=0.2)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the image is Linux's")
@pytest.mark.usefixtures("reachable")
def test_what_its_steps_made_serves_is_healthy_and_stops(built: Built, tiny_bundle: Bundle) -> None:
    for path in (tiny_bundle.folder, *tiny_bundle.folder.rglob("*")):
        path.chmod(0o755)
    assert "Usage" in run(built, [*only(FINAL, "ENTRYPOINT").words, *only(FINAL, "CMD").words]).stdout
    written_before = set(Path(tempfile.gettempdir()).iterdir())
    entry = [*only(FINAL, "ENTRYPOINT").words, f"tiny={tiny_bundle.folder}", "--host", "127.0.0.1", "--port", "0"]
    server = subprocess.Popen(
        as_nobody(entry), env=built.variables, cwd="/", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stderr is not None
        said = ""
        while not (listening := re.search(r"http://127\.0\.0\.1:(\d+)", said)):
            line = server.stderr.readline()
            assert line, said
            said += line
        url, port = listening[0], listening[1]
        *check, script = only(FINAL, "HEALTHCHECK").words
        assert run(built, [*check, script.replace("8000", port)]).returncode == 0
        assert run(built, [*check, script.replace("8000", port).replace("/ready", "/none")]).returncode == 1
        headers = {"content-type": "image/jpeg"}
        answer = httpx.post(f"{url}/predict", content=picture("green"), headers=headers, timeout=20)
        assert answer.json()["predictions"][0]["label"] == "green"
        if os.geteuid() == 0:
            status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
            assert re.search(r"^Uid:\s+10001\s+10001", status, flags=re.MULTILINE)
        server.send_signal(signal.SIGTERM)
        _, rest = server.communicate(timeout=30)
        assert server.returncode == 0, said + rest
        assert "elemetry" not in said + rest
        written = set(Path(tempfile.gettempdir()).iterdir()) - written_before
        assert not [path for path in written if path.exists() and path.stat().st_uid == 10001]
        assert run(built, [*check, script.replace("8000", port)]).returncode != 0
    finally:
        if server.poll() is None:
            server.kill()
            server.communicate()


# An engine ---------------------------------------------------------------------------------------------------------------


def engine_and_base(environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """docker or podman, where it answers, and a base that it has: nothing is fetched from a registry here.

    POCKETVISION_TEST_BASE names another base than the container file's."""
    base = environ.get("POCKETVISION_TEST_BASE") or only(BEFORE, "ARG").value.partition("=")[2]
    for engine in filter(None, map(shutil.which, ("docker", "podman"))):
        asked = subprocess.run([engine, "image", "inspect", base], capture_output=True, timeout=60, check=False)
        if asked.returncode == 0:
            return engine, base
    pytest.skip(f"no docker or podman that answers and has {base} here")


@pytest.mark.slow
@pytest.mark.usefixtures("reachable")
def test_an_engine_builds_and_runs_it(tiny_bundle: Bundle) -> None:
    engine, base = engine_and_base()
    for path in (tiny_bundle.folder, *tiny_bundle.folder.rglob("*")):
        path.chmod(0o755)
    tag = f"pocketvision-test:{uuid.uuid4().hex[:12]}"
    more = os.environ.get("POCKETVISION_TEST_BUILD_OPTIONS", "").split()
    running = os.environ.get("POCKETVISION_TEST_RUN_OPTIONS", "").split()
    known = ["--format", "docker"] if engine.endswith("podman") else []  # OCI's own format has no health check
    build = [
        engine,
        "build",
        *known,
        *more,
        "-f",
        str(CONTAINERFILE),
        "--build-arg",
        f"BASE={base}",
        "-t",
        tag,
        str(ROOT),
    ]
    done = subprocess.run(build, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        image = json.loads(subprocess.check_output([engine, "image", "inspect", tag]))[0]
        assert image["Config"]["User"] == only(FINAL, "USER").value
        strict = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host", "--tmpfs=/tmp"]
        mounted = ["-v", f"{tiny_bundle.folder}:/bundles/tiny:ro", tag, "/bundles/tiny", "--host=127.0.0.1", "--port=0"]
        start = [engine, "run", "-d", *strict, *running, *mounted]
        container = subprocess.run(start, capture_output=True, text=True, timeout=60, check=True).stdout.split()[-1]
        try:
            ends = time.monotonic() + 60
            while not (listening := re.search(r"http://127\.0\.0\.1:(\d+)", logs(engine, container))):
                assert time.monotonic() < ends, logs(engine, container)
                time.sleep(0.2)
            answer = httpx.post(
                f"{listening[0]}/predict", content=picture("red"), headers={"content-type": "image/jpeg"}, timeout=20
            )
            assert answer.json()["predictions"][0]["label"] == "red"
            subprocess.run([engine, "stop", "-t", "30", container], capture_output=True, timeout=60, check=True)
            state = json.loads(subprocess.check_output([engine, "inspect", container]))[0]["State"]
            assert state["ExitCode"] == 0
        finally:
            subprocess.run([engine, "rm", "-f", container], capture_output=True, timeout=60, check=False)
    finally:
        subprocess.run([engine, "rmi", "-f", tag], capture_output=True, timeout=60, check=False)


def logs(engine: str, container: str) -> str:
    """What a container has said."""
    said = subprocess.run([engine, "logs", container], capture_output=True, text=True, timeout=30, check=False)
    return said.stdout + said.stderr


def test_compose_and_image_have_one_health_check() -> None:
    import yaml

    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["server"]["healthcheck"]["test"][1:] == only(FINAL, "HEALTHCHECK").words


def test_a_port_that_nobody_listens_on_is_unhealthy() -> None:
    *_, script = only(FINAL, "HEALTHCHECK").words
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    asked = [sys.executable, "-c", script.replace("8000", str(free))]
    assert subprocess.run(asked, capture_output=True, timeout=30, check=False).returncode != 0
