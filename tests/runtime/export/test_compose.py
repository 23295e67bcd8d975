import hashlib
import shlex
import sys

import numpy as np
import pytest
import yaml
from shell import typed

import scission
from scission.runtime.cli import app
from scission.runtime.serve.folder import read_manifest

TEXTS = {"image", "restart", "stop_grace_period"}  # fields of a service by what compose-spec has for them
LISTS = {"command", "ports", "volumes", "tmpfs", "cap_drop", "security_opt"}


def project(folder):
    return yaml.safe_load((folder / "compose.yaml").read_text())


def test_a_project_says_what_compose_takes(cut, tmp_path):
    written = scission.export_compose(cut[1], tmp_path / "out", scission.ComposeOptions(port=8123, name="m$1"))
    told = project(written)
    assert set(told) == {"services"}
    for service in told["services"].values():
        assert all(isinstance(service[name], str) for name in TEXTS & set(service))
        assert all(all(isinstance(one, str) for one in service[name]) for name in LISTS & set(service))
        assert set(service) - TEXTS - LISTS <= {"read_only", "healthcheck", "depends_on"}
        for volume in service["volumes"]:
            assert (written / volume.split(":")[0]).exists() and volume.endswith(":ro")
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:")
    server = told["services"]["parts"]
    assert "127.0.0.1:8123:8000" in server["ports"] and "m$$1" in server["command"]
    assert {*told["services"]["prometheus"]["depends_on"]} == {"parts"}
    check = server["healthcheck"]["test"]
    assert check[0] == "CMD"
    compile(check[-1], "health", "exec")


def test_prometheus_asks_the_server(cut, tmp_path):
    written = scission.export_compose(cut[1], tmp_path / "out")
    (job,) = yaml.safe_load((written / "prometheus.yaml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    command = project(written)["services"]["parts"]["command"]
    assert target == f"parts:{command[command.index('--port') + 1]}"


def test_the_command_of_the_container_is_one(cut, tmp_path, monkeypatch):
    """What is typed in the container, but for where the parts lie and the port, serves here."""
    written = scission.export_compose(cut[1], tmp_path / "out")
    line = project(written)["services"]["parts"]["command"]
    heard = {}
    monkeypatch.setattr(
        "scission.runtime.http.serve.serve", lambda model, options, **_: heard.update(m=model, o=options)
    )
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code in (0, None)
    assert str(heard["m"]) == "/parts" and heard["o"].port == 8000 and heard["o"].name == "m"
    parts = scission.load_parts(written / "parts", threads=1)
    x = np.ones((1, 12), np.float32)
    expected = scission.load_parts(cut[1], threads=1).run({"x": x})
    assert all(np.array_equal(array, expected[name]) for name, array in parts.run({"x": x}).items())


def test_nothing_is_written_over(cut, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(scission.ExportError, match="exists already"):
        scission.export_compose(cut[1], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_the_command(cut, tmp_path, monkeypatch, capfd):
    status, out, _ = typed(monkeypatch, capfd)(f"export compose {cut[1]} {tmp_path / 'out'} --port 9000")
    assert status == 0 and "docker compose" in shlex.split(out.replace("docker compose", "'docker compose'"))
    manifest = read_manifest(tmp_path / "out" / "parts")
    for part in manifest.parts:
        for file, sha256 in part.files.items():
            assert hashlib.sha256((tmp_path / "out" / "parts" / file).read_bytes()).hexdigest() == sha256
