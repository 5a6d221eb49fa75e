"""deploy/compose.yaml: hardened, limited, and in agreement with the server, the proxy and the image."""

import re
from typing import Any

import pytest
import yaml
from containerfile import DEPLOY, stages

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVER, PROXY = COMPOSE["services"]["server"], COMPOSE["services"]["proxy"]


def seconds(text: str) -> int:
    """Of a duration such as 30s."""
    return int(text.removesuffix("s"))


def test_the_command_is_one_that_the_server_takes(serve_options) -> None:  # type: ignore[no-untyped-def]
    options = serve_options(SERVER["command"])
    assert [bundle.partition("=")[2].split("/")[1] for bundle in options["bundles"]] == ["bundles"]
    assert seconds(SERVER["stop_grace_period"]) > options["drain"]
    assert seconds(PROXY["stop_grace_period"]) > options["drain"]
    assert str(options["keys"]) == "/run/secrets/keys"
    assert options["watch"] > 0


@pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=list(COMPOSE["services"]))
def test_a_service_is_confined_and_limited(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) <= {"NET_BIND_SERVICE"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(service[limit] for limit in ("cpus", "mem_limit", "pids_limit"))
    assert all(mount["read_only"] for mount in service["volumes"] if isinstance(mount, dict))
    assert "privileged" not in service
    assert "user" not in service, "the image's own"


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert "ports" not in SERVER
    assert SERVER["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {port.partition(":")[0] for port in PROXY["ports"]} == {"80", "443"}


def test_the_proxy_finds_the_server_and_its_configuration() -> None:
    port = next(each.value for each in stages()[-1] if each.keyword == "EXPOSE")
    assert PROXY["environment"]["UPSTREAM"] == f"server:{port}"
    wanted = set(re.findall(r"\{\$([A-Z_]+):", (DEPLOY / "Caddyfile").read_text(encoding="utf-8")))
    assert set(PROXY["environment"]) <= wanted
    (configuration,) = [mount for mount in PROXY["volumes"] if isinstance(mount, dict)]
    assert (DEPLOY / configuration["source"]).is_file()
    assert PROXY["depends_on"] == {"server": {"condition": "service_healthy"}}


def test_it_builds_the_container_file_and_hands_keys_as_a_secret() -> None:
    assert (DEPLOY / SERVER["build"]["context"] / SERVER["build"]["dockerfile"]).samefile(DEPLOY / "Containerfile")
    assert SERVER["secrets"] == list(COMPOSE["secrets"])
    assert not [name for name in SERVER["environment"] if "KEY" in name]
