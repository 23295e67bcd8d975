import numpy as np
import pytest

torch = pytest.importorskip("torch")

from planted_torch import keep, owners, planted_attention, planted_ffn  # noqa: E402
from torch import nn  # noqa: E402

import scission  # noqa: E402
from scission import Cause  # noqa: E402
from scission.torch import BlockLinear, CoverLinear, LayerError, SplitFFN, carry_state, split  # noqa: E402


def planted(seed=0, K=24, N=36, blocks=4):
    rng = np.random.default_rng(seed)
    layer = nn.Linear(K, N)
    keep(layer.weight, owners(rng, K, blocks), owners(rng, N, blocks))
    return layer


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.dense = planted(), nn.Linear(36, 24)
        self.attention = planted_attention(np.random.default_rng(1), heads=6, size=4, batch_first=True).float()
        self.ffn = planted_ffn(np.random.default_rng(2), (24, 30, 12))[0].float()

    def forward(self, x):
        x = self.dense(torch.relu(self.first(x)))
        return self.ffn(x + self.attention(x, x, x, need_weights=False)[0])


def test_a_net_of_all_kinds_computes_the_same_and_tells_what_became_of_each_layer():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(2, 5, 24)
    before = net(x)
    found = split(net)
    assert found.module is net and torch.allclose(net(x), before, atol=1e-5)
    assert {one.path: (type(one.module).__name__, one.blocks) for one in found.replaced} == {
        "first": ("BlockLinear", 4),
        "attention": ("SplitAttention", 2),
        "ffn.0": ("SplitFFN", 3),
    }
    assert [(one.path, one.reason.cause) for one in found.left] == [("dense", Cause.CONNECTED)]
    assert found.replaced[0].mac_share == 0.25
    again = split(net)
    assert again.replaced == () and [one.path for one in again.left] == ["dense"], "what is split is left alone"


def test_windows_become_a_cover():
    layer = nn.Linear(64, 60)
    with torch.no_grad():
        layer.weight.mul_(torch.from_numpy(np.abs(np.arange(60)[:, None] - np.arange(64) + 2) <= 2))
    dense = layer.weight.clone()
    made = split(nn.Sequential(layer)).module[0]
    assert isinstance(made, CoverLinear) and torch.equal(made.weight, dense)


def test_small_blocks_are_merged_when_asked():
    assert split(nn.Sequential(planted(blocks=6)), most_blocks=2).replaced[0].blocks == 2


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_kind_has_more_blocks_than_asked(most):
    torch.manual_seed(0)
    windows, rng = nn.Linear(64, 60), np.random.default_rng(0)
    with torch.no_grad():
        windows.weight.mul_(torch.from_numpy(np.abs(np.arange(60)[:, None] - np.arange(64) + 2) <= 2))
    attention = planted_attention(rng, heads=8, size=3, blocks=4, batch_first=True).float()
    ffn = planted_ffn(rng, (24, 40, 64), 5)[0].float()
    net, x = nn.ModuleList([attention, nn.Sequential(*ffn, windows)]), torch.randn(2, 5, 24)
    before = attention(x, x, x, need_weights=False)[0], net[1](x)
    found = split(net, most_blocks=most)
    kinds = {"SplitAttention", "SplitFFN", "CoverLinear"} if most > 1 else set()
    assert kinds <= {type(one.module).__name__ for one in found.replaced}
    assert all(one.blocks <= most for one in found.replaced)
    assert torch.allclose(net[0](x, x, x, need_weights=False)[0], before[0], atol=1e-5)
    assert torch.allclose(net[1](x), before[1], atol=1e-5)


@pytest.mark.parametrize("most", [0, -1, 2.5, True, "2"])
def test_what_is_no_number_of_blocks_is_refused(most):
    net = nn.Sequential(planted())
    with pytest.raises(LayerError, match="most_blocks=8"):
        split(net, most_blocks=most)
    assert type(net[0]) is nn.Linear


class Residual(nn.Sequential):
    def forward(self, x):
        for each in self:
            x = each(x) + x
        return x


class Tapped(nn.Sequential):
    def forward(self, x):
        return self[0](x)


@pytest.mark.parametrize("kind", [Residual, Tapped])
def test_a_sequence_that_does_something_else_is_no_net_but_its_layers_are_split(kind):
    torch.manual_seed(0)
    net, x = kind(*planted_ffn(np.random.default_rng(0), (24, 24, 24))[0]), torch.randn(3, 24, dtype=torch.float64)
    before = net(x)
    assert [type(one.module) for one in split(net).replaced] == [BlockLinear, BlockLinear]
    assert torch.allclose(net(x), before, atol=1e-12)


def test_a_forward_that_was_put_on_one_module_is_seen():
    rng = np.random.default_rng(0)
    first, second = (planted_ffn(rng, (24, 24, 24))[0] for _ in range(2))
    first.forward = lambda x: first[0](x)
    second[0].forward = lambda x: 2 * nn.Linear.forward(second[0], x)
    net, x = nn.Sequential(first, second), torch.randn(3, 24, dtype=torch.float64)
    before = net(x)
    found = split(net)
    assert {one.path: type(one.module) for one in found.replaced} == dict.fromkeys(("0.0", "0.2", "1.2"), BlockLinear)
    assert torch.allclose(net(x), before, atol=1e-12)


class NoBias(nn.MultiheadAttention):
    def forward(self, *args, **options):
        return super().forward(*args, **options)[0] - self.out_proj.bias, None


def test_attention_of_another_kind_and_with_parametrisations_is_left():
    own = planted_attention(np.random.default_rng(0))
    own.__class__ = NoBias
    parametrised = planted_attention(np.random.default_rng(0))
    nn.utils.parametrizations.weight_norm(parametrised.out_proj)
    x = torch.randn(3, 2, 16, dtype=torch.float64)
    for one in (own, parametrised):
        before = one(x, x, x)[0]
        found = split(one)
        assert not found.replaced and found.left[0].reason.cause is Cause.UNSUPPORTED
        assert torch.equal(found.module(x, x, x)[0], before)


@pytest.mark.parametrize("kind", ["complex64", "float8_e4m3fn"])
def test_weights_of_another_type_are_left_and_the_others_split(kind):
    net = nn.Sequential(planted(N=24), planted(1))
    for parameter in net[0].parameters():
        parameter.data = parameter.data.to(getattr(torch, kind))
    found = split(net)
    assert [one.path for one in found.replaced] == ["1"] and [one.path for one in found.left] == ["0"]
    assert kind in str(found.left[0].reason)


def test_what_has_no_values_or_is_no_module_is_refused_and_nothing_is_changed():
    net = nn.Sequential(planted(), nn.Linear(36, 36, device="meta"))
    with pytest.raises(LayerError, match=r"^1\.weight: is on the device 'meta'"):
        split(net)
    assert type(net[0]) is nn.Linear
    with pytest.raises(LayerError, match="not a int"):
        split(3)


def test_an_empty_batch_goes_through_all_kinds():
    net = Net()
    split(net)
    assert net(torch.zeros(0, 5, 24)).shape == (0, 5, 12) and net(torch.zeros(2, 0, 24)).shape == (2, 0, 12)


def test_types_under_autocast_are_those_of_the_dense_net():
    net, x = Net(), torch.randn(2, 5, 24)
    windows = nn.Linear(12, 12)
    with torch.no_grad():
        windows.weight.mul_(torch.eye(12))
    kinds = []
    net.append = nn.Sequential(windows)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            seen = [net(x), net.first(x), *net.attention(x, x, x), net.attention(x, x, x, need_weights=False)[0]]
            seen += [net.append(net.ffn(x)), net.ffn(x)]
        kinds.append([one.dtype for one in seen])
        split(net)
    assert kinds[0] == kinds[1] and torch.bfloat16 in kinds[0]


def test_an_optimiser_knows_the_new_names():
    net = nn.Sequential(
        planted(), nn.ReLU(), nn.LayerNorm(36), *planted_ffn(np.random.default_rng(0), (36, 24, 12))[0].float()
    )
    outer = nn.ModuleDict({"net": net})
    step = torch.optim.AdamW(outer.named_parameters())
    net(torch.randn(4, 24)).sum().backward()
    step.step()
    carry_state(step, split(net).moved)
    group = step.param_groups[0]
    now = dict(outer.named_parameters())
    assert all(now[name] is one for name, one in zip(group["param_names"], group["params"], strict=True))
    assert set(group["param_names"]) == set(now)


def test_an_encoder_of_torch_goes_on_with_masks_of_padding():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 8, dropout=0.0, batch_first=True, dtype=torch.float64)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    for one, kept in zip(encoder.layers, (True, False), strict=True):
        one.self_attn = one.self_attn if kept else planted_attention(np.random.default_rng(0), batch_first=True).eval()
    x, mask = torch.randn(2, 5, 16, dtype=torch.float64), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with torch.no_grad():
        before = encoder(x, src_key_padding_mask=mask)
        assert [one.path for one in split(encoder).replaced] == ["layers.1.self_attn"]
        after = encoder(x, src_key_padding_mask=mask)
    assert torch.allclose(after[~mask], before[~mask], atol=1e-12)


@pytest.mark.parametrize("kind", ["register_hook", "register_post_accumulate_grad_hook"])
def test_hooks_of_parameters_keep_their_layer(kind):
    net, attention = planted_ffn(np.random.default_rng(0), (24, 24, 24))[0], planted_attention(np.random.default_rng(0))
    getattr(net[0].weight, kind)(lambda _: None)
    getattr(attention.out_proj.weight, kind)(lambda _: None)
    found = split(nn.ModuleList([net, attention]))
    assert [one.path for one in found.replaced] == ["0.2"]
    assert {one.path: "hooks" in str(one.reason) for one in found.left} == {"0.0": True, "1": True}


@pytest.mark.parametrize("dynamo", [False, True])
def test_attention_is_exported_and_runs_the_same_for_any_batch(dynamo, tmp_path):
    pytest.importorskip("onnxscript")
    import onnxruntime

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = planted_attention(np.random.default_rng(0), batch_first=True).float()

        def forward(self, x):
            return self.attention(x, x, x)[0]

    net, x = Attending().eval(), torch.randn(3, 5, 16)
    assert len(split(net).replaced) == 1
    n = torch.export.Dim("n")
    options = {"dynamo": True, "verbose": False, "dynamic_shapes": ({0: n},)} if dynamo else {"dynamo": False}
    options |= {} if dynamo else {"dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(net, (x,), tmp_path / "net.onnx", input_names=["x"], output_names=["y"], **options)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for rows in (x, torch.randn(4, 5, 16)):
        (found,) = session.run(None, {"x": rows.numpy()})
        assert np.allclose(found, net(rows).detach().numpy(), atol=1e-5)
    if not dynamo:
        traced = torch.jit.trace(net, (x,))
        assert torch.allclose(traced(torch.cat([x, x])), net(torch.cat([x, x])), atol=1e-6)


def test_layers_that_others_need_dense_are_left():
    tied, hooked = planted(N=24), planted(1)
    net = nn.Sequential(tied, nn.Linear(24, 24), hooked, planted(2), nn.utils.parametrizations.weight_norm(planted(3)))
    net[1].weight = tied.weight
    hooked.register_forward_hook(lambda *_: None)
    found = split(net)
    assert [one.path for one in found.replaced] == ["3"]
    assert [(one.path, one.reason.cause) for one in found.left] == [
        (n, Cause.UNSUPPORTED) for n in ("0", "1", "2", "4")
    ]


def test_a_layer_in_two_places_is_replaced_in_both():
    layer = planted(N=24)
    net = nn.ModuleDict({"a": layer, "b": layer})
    split(net)
    assert isinstance(net["a"], BlockLinear) and net["a"] is net["b"]


def test_an_optimiser_goes_on():
    torch.manual_seed(0)
    net = nn.Sequential(planted(), nn.ReLU(), nn.Linear(36, 3))
    step = torch.optim.AdamW([{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters()}])
    mask = net[0].weight.detach() != 0
    net(torch.randn(4, 24)).sum().backward()
    step.step()
    with torch.no_grad():
        net[0].weight.mul_(mask)
    moments = step.state[net[0].weight]["exp_avg"].clone()
    found = split(net)
    assert all(p.grad is not None for p in net[0].parameters()), "what was accumulated is not lost"
    carry_state(step, found.moved)
    assert set(step.param_groups[0]["params"]) == set(net[0].parameters()) and step.param_groups[0]["lr"] == 0.1
    blocks = net[0].blocks[0]
    at = next(one.at for one in found.moved if one.new is blocks)
    assert torch.equal(step.state[blocks]["exp_avg"], moments.reshape(-1)[at]) and step.state[blocks]["step"] == 1
    step.zero_grad()
    net(torch.randn(4, 24)).sum().backward()
    step.step()


def test_state_that_is_no_entry_for_each_weight_is_refused_and_nothing_is_changed():
    net = nn.Sequential(planted())
    step = torch.optim.Adafactor(net.parameters())
    net(torch.zeros(4, 24)).sum().backward()
    step.step()
    before, found = list(step.param_groups[0]["params"]), split(net)
    with pytest.raises(LayerError, match=r"0\.weight: the optimiser keeps 'row_var'"):
        carry_state(step, found.moved)
    assert list(step.param_groups[0]["params"]) == before


def exported(net, x, path):
    torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], dynamo=False)
    return path


def test_a_plan_of_the_exported_model_splits_the_module(tmp_path):
    torch.manual_seed(0)
    net, x = nn.Sequential(planted(0, 256, 256, 8), nn.ReLU(), planted(1, 256, 192, 4)), torch.randn(16, 256)
    pytest.importorskip("onnxscript")
    plan = scission.plan(exported(net, x, tmp_path / "net.onnx"), force=True)
    before = net(x)
    found = split(net, plan)
    steps = [step for step in plan.steps if step.lowering != "dense"]
    assert len(found.replaced) == len(steps) == 2
    assert [one.module.decomposition for one in found.replaced] == [step.decomposition for step in steps]
    assert torch.allclose(net(x), before, atol=1e-5)


def test_a_plan_of_other_weights_is_refused_and_nothing_is_changed(tmp_path):
    pytest.importorskip("onnxscript")
    net, x = nn.Sequential(planted(0, 256, 256, 8)), torch.randn(16, 256)
    plan = scission.plan(exported(net, x, tmp_path / "net.onnx"), force=True)
    with torch.no_grad():
        net[0].weight.mul_(2)
    with pytest.raises(LayerError, match="no dense layer with that weight"):
        split(net, plan)
    assert type(net[0]) is nn.Linear


def test_a_plan_is_wanted():
    with pytest.raises(scission.PlanError, match="a plan is wanted"):
        split(nn.Linear(2, 2), "plan.json")


def test_what_replaces_layers_in_a_sequence_is_one_net():
    net = planted_ffn(np.random.default_rng(0), (24, 30, 12))[0]
    outer = nn.Sequential(nn.Linear(24, 24, dtype=torch.float64), net, nn.Flatten())
    x = torch.randn(3, 24, dtype=torch.float64)
    before = outer(x)
    found = split(outer)
    assert [one.path for one in found.replaced] == ["1.0"] and isinstance(outer[1][0], SplitFFN)
    assert torch.allclose(outer(x), before, atol=1e-12)


def test_an_activation_in_two_places_stays_in_the_other():
    rng, act = np.random.default_rng(0), nn.GELU()
    first, second = (planted_ffn(rng, (24, 30, 24))[0] for _ in range(2))
    net = nn.Sequential(first[0], act, first[2], act, second[0], act, second[2], act)
    x = torch.randn(3, 24, dtype=torch.float64)
    before = net(x)
    assert len(split(net).replaced) == 2 and torch.allclose(net(x), before, atol=1e-12)


def test_layers_of_a_net_that_are_elsewhere_as_well_are_split_one_by_one():
    inner = planted_ffn(np.random.default_rng(0), (24, 24, 24))[0]
    net = nn.Sequential(inner[0], nn.ReLU(), inner[2], inner[0])
    x = torch.randn(3, 24, dtype=torch.float64)
    before = net(x)
    assert {type(one.module) for one in split(net).replaced} == {BlockLinear} and net[0] is net[3]
    assert torch.allclose(net(x), before, atol=1e-12)


@pytest.mark.parametrize("dynamo", [False, True])
def test_what_is_split_is_exported_and_runs_the_same(dynamo, tmp_path):
    pytest.importorskip("onnxscript")
    import onnxruntime

    torch.manual_seed(0)
    windows = nn.Linear(64, 60)
    with torch.no_grad():
        windows.weight.mul_(torch.from_numpy(np.abs(np.arange(60)[:, None] - np.arange(64) + 2) <= 2))
    net = nn.Sequential(
        planted(N=64), windows, nn.Linear(60, 24), planted_ffn(np.random.default_rng(2), (24, 30, 12))[0]
    )
    net, x = net.float().eval(), torch.randn(5, 24)
    open_ = {"dynamic_shapes": ({0: torch.export.Dim("rows")},)} if dynamo else {"dynamic_axes": {"x": {0: "rows"}}}
    assert {type(one.module).__name__ for one in split(net).replaced} == {"BlockLinear", "CoverLinear", "SplitFFN"}
    options = {"dynamo": True, "verbose": False} if dynamo else {"dynamo": False}
    torch.onnx.export(net, (x,), tmp_path / "net.onnx", input_names=["x"], output_names=["y"], **options, **open_)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for rows in (x, x[:2]):
        (found,) = session.run(None, {"x": rows.numpy()})
        assert np.allclose(found, net(rows).detach().numpy(), atol=1e-5)
