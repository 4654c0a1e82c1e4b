"""What the NixOS modules render is what the services' own loaders read."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ci_service.cache.settings import Settings as CacheSettings
from ci_service.settings import Settings as CiSettings
from control_plane.settings import Settings as ControlPlaneSettings
from nix.run import run
from nix.tests.modules import KEY, MACHINES, SERVICES, WORKER, a_machine, evaluate
from nix.tests.places import NIX, STAND_IN_LIB
from repohub.settings import Settings as RepohubSettings
from schema.errors import CommandFailed
from schema.settings import ServiceSettings, load
from worker.netplan import NetworkNames
from worker.settings import Settings as WorkerSettings

LOADERS: dict[str, type[ServiceSettings]] = {
    "control-plane": ControlPlaneSettings,
    "worker": WorkerSettings,
    "ci": CiSettings,
    "cache": CacheSettings,
    "repohub": RepohubSettings,
}
EVERYTHING = f"""
  services.procurator = {{
    control-plane = {{
      address = "::1"; port = 8401; rpc = "10.0.0.9:8400"; networkRange = "10.9.0.0/16"; keepGenerations = 9;
      socketRoles."1000" = "operator";
      tls = {{ certificateFile = "/etc/tls/cert.pem"; keyFile = "/etc/tls/key.pem"; }};
      joinPolicy = "token"; databaseUrl = "postgresql://p@db/p"; databasePasswordFile = "/etc/keys/db";
      origin = {{ repository = "team/shop"; branch = "main"; path = "cluster"; }};
      settings = {{
        liveness.interval_ms = 5000;
        scheduler.cpu_overcommit = 2.0;
        tokens = [ {{ name = "ada"; sha256 = "{"a" * 64}"; role = "viewer"; }} ];
      }};
    }};
    worker = {{
      name = "other"; address = "10.0.0.2"; port = 8402; cacheUrls = [ "http://cache:1" "http://cache:2" ];
      cacheKeys = [ "{KEY}" "{KEY}" ]; labels.zone = "b"; extras.gpu = 2; stopTimeoutMs = 5;
      serverName = "cp.example.org"; joinTokenFile = "/etc/tokens/join"; location = "rack 2";
      machineAddress = "10.3.0.4";
      capacity = {{ cpu = 8; memoryMb = 4096; }};
      hypervisor = [ "procurator-vmm" "--user \\"x\\"" ];
      settings.limits.parallel_pulls = 7;
    }};
    ci = {{
      address = "0.0.0.0"; port = 8403; repositoriesUrl = "http://hub:3001"; cacheUrl = "http://cache:1";
      socket = "/run/other.sock"; allowedPaths = [ "/srv/a b" ]; network = true;
      settings.deadlines.build = 10.0;
    }};
    cache = {{ port = 8404; settings.max_nar_bytes = 1000; }};
    repohub = {{
      port = 8001; ciUrl = "http://ci:1"; socket = "/run/other.sock"; baseUrl = "https://hub.example.org";
      settings.site.allowed_hosts = [ "hub" ];
    }};
  }};
"""


async def rendered(tmp_path: Path, written: str) -> dict[str, str]:
    """The text of each settings file of a machine that runs everything."""
    texts: dict[str, str] = await a_machine(
        tmp_path, STAND_IN_LIB, MACHINES + WORKER + SERVICES, written, wanted="config.services.procurator.rendered"
    )
    return texts


def loaded(tmp_path: Path, texts: dict[str, str]) -> dict[str, Any]:
    """Each service's settings, by its own loader."""
    assert set(texts) == set(LOADERS)
    found = {}
    for service, model in LOADERS.items():
        (tmp_path / f"{service}.toml").write_text(texts[service])
        found[service] = load(model, service=service, path=tmp_path / f"{service}.toml", environ={}).settings
    return found


async def test_every_rendered_file_is_read_by_its_service(tmp_path: Path) -> None:
    found = loaded(tmp_path, await rendered(tmp_path, ""))
    control_plane, worker = found["control-plane"], found["worker"]
    assert (control_plane.listen.rpc, control_plane.listen.http) == ("127.0.0.1:7400", "127.0.0.1:7401")
    assert control_plane.keys.publishers == (KEY,)
    assert control_plane.socket.roles == {"7405": "viewer"}  # repohub, on the same machine
    assert (worker.name, worker.control_plane.address) == ("worker-1", "10.0.0.1:7400")
    assert worker.control_plane.socket is None
    assert worker.caches.public_keys == (KEY,)
    assert worker.labels == {"zone": "a"}
    assert found["ci"].control_plane.socket == control_plane.listen.socket == found["repohub"].control_plane.socket
    assert found["cache"].upload_token_file == Path("/run/procurator-cache/upload-token")


OF_THE_MACHINE = {
    *("labels", "hypervisor", "socket", "network", "database", "public_keys", "upload_token_file", "control_plane"),
}
"""What the modules know better than a default: who else is on the machine, and what the cluster says of it."""


async def test_what_is_not_said_is_as_the_service_has_it(tmp_path: Path) -> None:
    """The defaults of options and those of the settings are the same, where both have one."""
    found = loaded(tmp_path, await rendered(tmp_path, ""))
    for service, settings in found.items():
        for key, field in type(settings).model_fields.items():
            if not field.is_required() and key not in OF_THE_MACHINE:
                assert getattr(settings, key) == field.default, (service, key)


async def test_every_option_reaches_its_setting(tmp_path: Path) -> None:
    found = loaded(tmp_path, await rendered(tmp_path, EVERYTHING))
    control_plane, worker, ci = found["control-plane"], found["worker"], found["ci"]
    assert (control_plane.listen.rpc, control_plane.listen.http) == ("10.0.0.9:8400", "[::1]:8401")
    assert (control_plane.network.range, control_plane.retention.keep_generations) == ("10.9.0.0/16", 9)
    assert control_plane.socket.roles == {"1000": "operator", "7405": "viewer"}
    assert (control_plane.origin.repository, control_plane.origin.path) == ("team/shop", "cluster")
    assert (control_plane.liveness.interval_ms, control_plane.scheduler.cpu_overcommit) == (5000, 2.0)
    assert [token.name for token in control_plane.tokens] == ["ada"]
    assert (worker.name, worker.listen.http, worker.stop_timeout_ms) == ("other", "10.0.0.2:8402", 5)
    assert worker.caches.urls == ("http://cache:1", "http://cache:2")
    assert len(worker.caches.public_keys) == 2
    assert (worker.labels, worker.extras) == ({"zone": "b"}, {"gpu": 2})
    assert (worker.capacity.cpu, worker.capacity.memory_mb) == (8, 4096)
    assert (worker.control_plane.server_name, worker.location, worker.network.address) == (
        *("cp.example.org", "rack 2"),
        "10.3.0.4",
    )
    assert worker.control_plane.join_token_file == Path("/etc/tokens/join")
    assert control_plane.tls.certificate == Path("/run/procurator-control-plane/tls-certificate")
    assert control_plane.database.password_file == Path("/run/procurator-control-plane/database-password")
    assert (control_plane.database.url, control_plane.workers.policy) == ("postgresql://p@db/p", "token")
    assert worker.hypervisor.command == ("procurator-vmm", '--user "x"')
    assert worker.limits.parallel_pulls == 7
    assert (ci.listen.http, ci.repositories.base_url, ci.cache.url) == (
        *("0.0.0.0:8403", "http://hub:3001"),
        "http://cache:1",
    )
    assert (ci.evaluation.allowed_paths, ci.evaluation.network) == ((Path("/srv/a b"),), True)
    assert (ci.control_plane.socket, ci.deadlines.build) == (Path("/run/other.sock"), 10.0)
    assert (found["cache"].listen.http, found["cache"].max_nar_bytes) == ("127.0.0.1:8404", 1000)
    hub = found["repohub"]
    assert (hub.listen.http, hub.ci.url, hub.site.base_url) == (
        *("127.0.0.1:8001", "http://ci:1"),
        "https://hub.example.org",
    )
    assert hub.site.allowed_hosts == ("hub",)


async def test_a_wrong_key_is_refused_by_the_program_that_the_build_runs(tmp_path: Path) -> None:
    """What the module's derivation runs on the rendered text, run here: the service's own program."""
    texts = await rendered(tmp_path, "services.procurator.cache.settings.max_nar_byte = 1;")
    file = tmp_path / "cache.toml"
    file.write_text(texts["cache"])
    program = NIX.parent / ".venv/bin/procurator-cache"
    with pytest.raises(CommandFailed, match="max_nar_byte: unknown key; did you mean max_nar_bytes"):
        await run((str(program), "--config", str(file), "--print-config"), deadline=30, env={})
    file.write_text((await rendered(tmp_path, ""))["cache"])
    await run((str(program), "--config", str(file), "--print-config"), deadline=30, env={})


async def test_repohub_on_a_machine_of_its_own_shows_a_token(tmp_path: Path) -> None:
    repohub = """services.procurator.repohub = {
      enable = true; hookTokenFile = "/etc/hook"; master = "control-plane-1"; ca = "/etc/ca.pem";
      tokenFile = "/etc/view";
    };"""
    wanted = "[ failed config.services.procurator.rendered.repohub ]"
    failed, text = await a_machine(tmp_path, STAND_IN_LIB, MACHINES + repohub, wanted=wanted)
    (tmp_path / "repohub.toml").write_text(text)
    settings = load(RepohubSettings, service="repohub", path=tmp_path / "repohub.toml", environ={}).settings
    assert (failed, settings.control_plane.address) == ([], "10.0.0.1:7400")
    assert settings.control_plane.token_file == Path("/run/procurator-repohub/control-plane-token")
    without = repohub.replace('tokenFile = "/etc/view";', "").replace("control-plane-1", "worker-1")
    assert await a_machine(tmp_path, STAND_IN_LIB, MACHINES + without, wanted="failed") == [
        'services.procurator.repohub.master: "worker-1" is no control plane in cluster.machines'
        " (there are control-plane-1)",
        "services.procurator.repohub.master: needs tokenFile, and no socket",
    ]


async def test_a_file_beside_the_configuration_goes_to_the_store(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("a certificate")
    text = await evaluate(tmp_path, STAND_IN_LIB, f"library.toTOML {{ ca = {tmp_path}/ca.pem; }}")
    assert tomllib.loads(text)["ca"].startswith("/nix/store/")


HOSTILE = ["", "a b", '"', "\\", "'''", "\n\t\r\x01\x1f\x7f", "ä ☃ 😀", "${x}", "#", "=", "[a]", "a.b", "\u2028"]


async def test_any_text_survives_as_toml(tmp_path: Path) -> None:
    settings = {
        **{"texts": HOSTILE, "table": {key: key for key in HOSTILE}, "deep": {"a": {"b": {"c": [{"d": [1, 2.5]}]}}}},
        **{"number": -3, "yes": True, "no": False, "empty": [], "half": 0.5, "big": 2**40, "none": None},
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    text = await evaluate(tmp_path, STAND_IN_LIB, 'library.toTOML (jsonOf "settings")')
    assert tomllib.loads(text) == {key: value for key, value in settings.items() if value is not None}


@pytest.mark.parametrize("name", ["worker-1", "w", "a-much-longer-name-of-a-worker-with-many-letters"])
async def test_the_firewall_knows_a_workers_taps_by_name(tmp_path: Path, name: str) -> None:
    state = "/var/lib/procurator/worker"
    found = await evaluate(
        tmp_path, STAND_IN_LIB, f'import {NIX}/modules/tap-prefix.nix {{ name = "{name}"; state = "{state}"; }}'
    )
    assert found == NetworkNames(f"{name}\n{state}").tap_prefix


@pytest.mark.parametrize("machine", ["hub", "rack-1"])
async def test_the_machines_of_the_guide_could_work(tmp_path: Path, machine: str) -> None:
    guide = (NIX.parent / "docs/nixos.md").read_text().partition("```nix\n")[2].partition("```")[0]
    failed, texts = await evaluate(
        tmp_path,
        STAND_IN_LIB,
        f"""let it = machine [ modules.default ({guide}).{machine} ];
        in [ it.failed it.config.services.procurator.rendered ]""",
    )
    assert failed == []
    assert set(texts) == ({"worker"} if machine == "rack-1" else set(LOADERS) - {"worker"})
    for service, text in texts.items():
        (tmp_path / f"{service}.toml").write_text(text)
        load(LOADERS[service], service=service, path=tmp_path / f"{service}.toml", environ={})
