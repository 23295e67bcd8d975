import sys

import numpy as np
import onnx
import oracles
import pytest
import torch

import scission
from scission.runtime.tools.export import NoTorchError

FORCED = scission.PlanOptions(force=True)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(32, 32)
        self.layer.weight.data.mul_(torch.block_diag(*[torch.ones(8, 8)] * 4))

    def forward(self, x):
        return torch.relu(self.layer(x))


@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.filterwarnings("ignore"))])
def test_a_module_becomes_a_file_that_is_split(tmp_path, dynamo):
    if dynamo:
        pytest.importorskip("onnxscript")
    net, x = Net().eval(), torch.randn(3, 32)
    result = scission.export(
        net,
        (x,),
        tmp_path / "net.onnx",
        options=FORCED,
        further=scission.OptimizeOptions(bench=False),
        dynamo=dynamo,
        input_names=["x"],
        output_names=["y"],
    )
    assert result.outcome == "split" and result.written[0] == tmp_path / "net.onnx"
    found = oracles.run(onnx.load(tmp_path / "net.onnx"), {"x": x.numpy()})
    oracles.assert_close([net(x).detach().numpy()], found)


def test_with_nothing_to_gain_the_file_is_as_torch_exports_it(tmp_path):
    net, x = torch.nn.Linear(4, 4), torch.randn(3, 4)
    result = scission.export(net, (x,), tmp_path / "net.onnx", dynamo=False, input_names=["x"])
    assert result.outcome == "unchanged"
    found = oracles.run(onnx.load(tmp_path / "net.onnx"), {"x": x.numpy()})
    np.testing.assert_allclose(net(x).detach().numpy(), found[0], rtol=1e-5, atol=1e-6)


def test_options_are_keywords_as_everywhere(tmp_path):
    """Also what the message about a file that is there tells to add; what is torch's goes to torch."""
    net, x, path = Net().eval(), torch.randn(3, 32), tmp_path / "net.onnx"
    asked = {"force": True, "bench": False, "dynamo": False, "input_names": ["x"]}
    assert scission.export(net, (x,), path, **asked).outcome == "split"
    with pytest.raises(scission.ModelError, match="exists already; choose another output or add overwrite=True"):
        scission.export(net, (x,), path, **asked)
    assert scission.export(net, (x,), path, **asked, overwrite=True).outcome == "split"
    assert [one.name for one in onnx.load(path).graph.input] == ["x"]


def test_a_file_in_place_of_the_module_is_told_where_it_goes(tmp_path):
    with pytest.raises(TypeError, match=r"net\.pt: is a file and no module of torch; `scission\.optimize` takes an"):
        scission.export("net.pt", (torch.randn(3, 32),), tmp_path / "net.onnx")


def test_without_torch_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NoTorchError, match="pip install torch"):
        scission.export(None, (), tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_an_output_that_is_there_is_refused_before_torch_exports(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(b"mine")
    monkeypatch.setattr(torch.onnx, "export", None)
    with pytest.raises(scission.ModelError, match="exists already"):
        scission.export(torch.nn.Linear(4, 4), (torch.ones(1, 4),), tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == b"mine"


def test_no_second_file_is_written(tmp_path):
    with pytest.raises(TypeError, match="takes no 'f'"):
        scission.export(torch.nn.Linear(4, 4), (torch.ones(1, 4),), tmp_path / "net.onnx", f=tmp_path / "other.onnx")
    assert not list(tmp_path.iterdir())
