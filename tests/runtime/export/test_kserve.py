import re

import pytest
import yaml
from shell import typed

import scission
from scission.runtime.serve.folder import read_manifest

NAME = {"type": str}
AMOUNT = {"cpu": {"type": str, "like": r"\d+(\.\d+)?"}, "memory": {"type": str, "like": r"\d+Mi"}}
PROBE = {"httpGet": {"path": NAME, "port": {"type": int}}}
# What the definition of InferenceService (serving.kserve.io/v1beta1) says of the fields that are written.
RESOURCES = {"requests": AMOUNT, "limits": AMOUNT}
CONTAINER = {
    **dict.fromkeys(("name", "image"), NAME),
    **{name: [NAME] for name in ("command", "args")},
    "env": [{"name": NAME, "value": NAME}],
    "ports": [{"containerPort": {"type": int}, "protocol": NAME}],
    "readinessProbe": PROBE,
    "livenessProbe": PROBE,
    "resources": RESOURCES,
    "securityContext": {
        "allowPrivilegeEscalation": {"type": bool},
        "runAsNonRoot": {"type": bool},
        "capabilities": {"drop": [NAME]},
    },
}
PREDICTOR = {
    **{name: {"type": int} for name in ("minReplicas", "maxReplicas", "scaleTarget")},
    "scaleMetric": {"type": str, "like": "cpu|memory|concurrency|rps"},
    "containers": [CONTAINER],
    "model": {
        "modelFormat": {"name": NAME, "version": NAME},
        "protocolVersion": NAME,
        "storageUri": NAME,
        "resources": RESOURCES,
    },
}
SERVICE = {
    "apiVersion": {"type": str, "like": r"serving\.kserve\.io/v1beta1"},
    "kind": {"type": str, "like": "InferenceService"},
    "metadata": {"name": {"type": str, "like": "[a-z]([-a-z0-9]*[a-z0-9])?"}, "annotations": None},
    "spec": {"predictor": PREDICTOR},
}


def holds(value, schema, where="service"):
    if schema is None:
        assert all(isinstance(one, str) for one in value.values()), where
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for one in value:
            holds(one, schema[0], f"{where}[]")
    elif isinstance(schema.get("type"), type):
        assert type(value) is schema["type"], where
        assert re.fullmatch(schema.get("like", ".*"), str(value)), where
    else:
        assert isinstance(value, dict) and set(value) <= set(schema), (where, set(value) - set(schema))
        for name, one in value.items():
            holds(one, schema[name], f"{where}.{name}")


@pytest.mark.parametrize("server", ["scission", "triton"])
def test_a_service_says_what_kserve_takes(cut, tmp_path, server):
    options = scission.KServeOptions(storage="s3://bucket/parts", server=server, replicas=2, most=9, cpu=1.5)
    written = scission.export_kserve(cut[1], tmp_path / "m.yaml", options)
    (told,) = yaml.safe_load_all(written.read_text())
    holds(told, SERVICE)
    predictor = told["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 9)
    assert told["metadata"]["annotations"]["scission/plan"] == read_manifest(cut[1]).plan
    assert ("model" in predictor) == (server == "triton")
    if server == "triton":
        assert predictor["model"]["storageUri"] == "s3://bucket/parts"
        return
    (container,) = predictor["containers"]
    assert container["env"] == [{"name": "STORAGE_URI", "value": "s3://bucket/parts"}]
    port = container["args"][container["args"].index("--port") + 1]
    assert int(port) == container["ports"][0]["containerPort"] == container["readinessProbe"]["httpGet"]["port"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "a URI with storage"),
        ({"storage": "/a/path"}, "a URI with storage"),
        ({"storage": "s3://b", "name": "Not_One"}, "another with name"),
        ({"storage": "s3://b", "replicas": 5, "most": 2}, "more with most"),
    ],
)
def test_what_cannot_be_is_told(cut, tmp_path, options, says):
    with pytest.raises(scission.ExportError, match=says):
        scission.export_kserve(cut[1], tmp_path / "m.yaml", scission.KServeOptions(**options))
    assert not list(tmp_path.iterdir())


def test_the_command(cut, tmp_path, monkeypatch, capfd):
    call = typed(monkeypatch, capfd)
    line = f"export kserve {cut[1]} {tmp_path / 'm.yaml'} --storage pvc://volume/parts"
    status, out, _ = call(line)
    assert status == 0 and "kubectl apply" in out
    status, _, err = call(line)
    assert status == 2 and "exists already" in err
