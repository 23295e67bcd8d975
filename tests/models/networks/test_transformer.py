import builtins
import dataclasses
import math

import numpy as np
import onnx
import pytest
from oracles import run

from scission.ir.errors import ModelError
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.models.networks import transformer as planted_transformer
from scission.models.networks.transformer import Config, bert, llama, network, weights
from scission.passes.connectivity.bipartite import components
from scission.passes.decompose.blocks import decompose

WIDTH, HEADS, HIDDEN, LAYERS, VOCABULARY = 32, 4, 48, 2, 50
SIZES = {
    "layers": LAYERS,
    "width": WIDTH,
    "heads": HEADS,
    "hidden": HIDDEN,
    "attention_blocks": 2,
    "ffn_blocks": 4,
    "vocabulary": VOCABULARY,
}
BUILDERS = {"bert": bert, "llama": llama}
erf = np.vectorize(math.erf)


def config(kind, interface=False, **options) -> Config:
    layers = 1 if interface else LAYERS  # an export takes 1 s and 2 s a layer
    return Config(**{"kind": kind, "order": "shared", "interface": interface, **SIZES, "layers": layers, **options})


def drawn(kind, **options):
    """(Parameters, truth) of the models below: the same seed draws the same."""
    return weights(np.random.default_rng(0), config(kind, **options))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Planted models by kind and interface, each exported once, and the path it was written to."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    made = {}

    def get(kind, interface=False):
        if (kind, interface) not in made:
            path = tmp_path_factory.mktemp(kind) / "m.onnx"
            sizes = {**SIZES, "layers": config(kind, interface).layers}
            made[kind, interface] = BUILDERS[kind](path, np.random.default_rng(0), **sizes, interface=interface), path
        return made[kind, interface]

    return get


def feed(kind, interface, batch, sequence):
    rng = np.random.default_rng(1)
    if interface:
        return rng.standard_normal((batch, sequence, WIDTH)).astype(np.float32)
    return rng.integers(0, VOCABULARY, (batch, sequence))


# The architectures, spelt out once more in float64.


def layers_of(P):
    return dict.fromkeys(".".join(name.split(".")[:2]) for name in P if name.startswith("layers."))


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def linear(P, name, x):
    return x @ P[f"{name}.weight"].T + P.get(f"{name}.bias", 0)


def heads(x):
    return x.reshape(*x.shape[:2], HEADS, -1).swapaxes(1, 2)


def attention(P, name, x, turn=lambda x: x, mask=0):
    q, k, v = (heads(linear(P, f"{name}.{part}", x)) for part in ("query", "key", "value"))
    scores = turn(q) @ turn(k).swapaxes(2, 3) / (WIDTH / HEADS) ** 0.5
    return linear(P, f"{name}.output", (softmax(scores + mask) @ v).swapaxes(1, 2).reshape(x.shape))


def layer_norm(P, name, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / (x.var(-1, keepdims=True) + 1e-12) ** 0.5 * P[f"{name}.weight"] + P[f"{name}.bias"]


def rms_norm(P, name, x):
    return x / ((x**2).mean(-1, keepdims=True) + 1e-5) ** 0.5 * P[f"{name}.weight"]


def rotate(x):
    """Feature i and its partner half a head further are a complex number, turned by its position."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[2])[:, None] * 10000.0 ** (-np.arange(half) / half)
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], -1)


def bert_reference(P, x):
    if x.ndim == 2:
        x = layer_norm(P, "norm", P["words.weight"][x] + P["positions.weight"][: x.shape[1]])
    for name in layers_of(P):
        x = layer_norm(P, f"{name}.attention_norm", x + attention(P, f"{name}.attention", x))
        h = linear(P, f"{name}.up", x)
        x = layer_norm(P, f"{name}.ffn_norm", x + linear(P, f"{name}.down", h * (1 + erf(h / 2**0.5)) / 2))
    return linear(P, "head", x) if "head.weight" in P else x


def llama_reference(P, x):
    x = P["words.weight"][x] if x.ndim == 2 else x
    mask = np.where(np.tri(x.shape[1]) == 0, -np.inf, 0)
    for name in layers_of(P):
        x = x + attention(P, f"{name}.attention", rms_norm(P, f"{name}.attention_norm", x), rotate, mask)
        h = rms_norm(P, f"{name}.ffn_norm", x)
        gate = linear(P, f"{name}.gate", h)
        x = x + linear(P, f"{name}.down", gate / (1 + np.exp(-gate)) * linear(P, f"{name}.up", h))
    x = rms_norm(P, "norm", x)
    return linear(P, "head", x) if "head.weight" in P else x


REFERENCES = {"bert": bert_reference, "llama": llama_reference}


@pytest.mark.parametrize("interface", [False, True])
@pytest.mark.parametrize("kind", BUILDERS)
def test_onnx_runtime_torch_and_the_definition_agree_at_every_size(exported, kind, interface):
    torch = pytest.importorskip("torch")
    planted, _ = exported(kind, interface)
    parameters, _ = drawn(kind, interface=interface)
    net = network(config(kind, interface), parameters)
    exact = {name: array.astype(np.float64) for name, array in parameters.items()}
    (name,) = (value.name for value in planted.model.graph.input)
    for batch, sequence in ((2, 16), (1, 1), (3, 40), (1, 512)):
        x = feed(kind, interface, batch, sequence)
        (ours,) = run(planted.model, {name: x})
        with torch.no_grad():
            theirs = net(torch.from_numpy(x)).numpy()
        assert ours.shape == theirs.shape and ours.std() > 0.1
        assert np.abs(ours - theirs).max() <= 2e-5
        assert np.abs(ours - REFERENCES[kind](exact, x)).max() <= 2e-5


@pytest.mark.parametrize("interface", [False, True])
@pytest.mark.parametrize("kind", BUILDERS)
def test_the_truth_is_what_is_found_in_each_weight(exported, kind, interface):
    planted, _ = exported(kind, interface)
    found = survey(load(planted.model).graph)
    blocks = {way.address: decompose(components(way.canonical(found.constants))) for way in found.linears}
    dense = {address for address, whole in blocks.items() if len(whole.blocks) == 1}
    assert len(dense) == (not interface) and blocks.keys() - dense == planted.truth.keys()
    assert len(planted.truth) == config(kind, interface).layers * (6 if kind == "bert" else 7)
    for address, truth in planted.truth.items():
        assert blocks[address].shape == truth.shape and set(blocks[address].blocks) == set(truth.blocks)


@pytest.mark.parametrize("kind", BUILDERS)
def test_it_is_what_torch_exports(exported, kind):
    model = exported(kind)[0].model
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "pytorch"
    dims = [v.type.tensor_type.shape.dim for v in (*model.graph.input, *model.graph.output)]
    last = 16 if kind == "bert" else VOCABULARY
    assert [[dim.dim_value or dim.dim_param for dim in each] for each in dims] == [
        ["batch", "sequence"],
        ["batch", "sequence", last],
    ]


def test_later_tokens_change_nothing_before_them(exported):
    model, ids = exported("llama")[0].model, feed("llama", False, 2, 9)
    other = ids.copy()
    other[:, 5] = (other[:, 5] + 1) % VOCABULARY
    changed = np.abs(run(model, {"input_ids": ids})[0] - run(model, {"input_ids": other})[0]).max((0, 2))
    assert (changed[:5] <= 1e-6).all() and (changed[5:] > 1e-4).all()


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_path_gets_the_model_in_one_file(exported, kind):
    planted, path = exported(kind)
    assert onnx.load(path) == planted.model and [other.name for other in path.parent.iterdir()] == [path.name]


# What is planted, without torch.


def sets(parts):
    return {frozenset(part.tolist()) for part in parts}


def residual(truth, name):
    """The groups of residual features that a linear of this name reads or writes, per layer."""
    side = "outputs" if name in ("attention.output", "down") else "inputs"
    return [sets(getattr(b, side) for b in truth[f"layers.{i}.{name}.weight"].blocks) for i in range(LAYERS)]


READ_BY_ATTENTION = ("attention.query", "attention.key", "attention.value", "attention.output")


@pytest.mark.parametrize("order", ["shared", "own", "natural"])
@pytest.mark.parametrize("kind", BUILDERS)
def test_parts_of_a_layer_share_features_heads_and_hidden_units(kind, order):
    _, truth = drawn(kind, order=order)
    ffn = ("up", "down") if kind == "bert" else ("up", "down", "gate")
    for names in (READ_BY_ATTENTION, ffn):
        assert all(residual(truth, name) == residual(truth, names[0]) for name in names)
    for i in range(LAYERS):
        parts = {name: truth[f"layers.{i}.{name}.weight"].blocks for name in (*READ_BY_ATTENTION, *ffn)}
        mixed = sets(b.inputs for b in parts["attention.output"])
        assert all(sets(b.outputs for b in parts[name]) == mixed for name in READ_BY_ATTENTION[:3])
        owners = {j // (WIDTH // HEADS): n for n, part in enumerate(mixed) for j in part}
        assert len(owners) == HEADS and sum(map(len, mixed)) == WIDTH  # each head in one block alone
        assert all(owners[j // (WIDTH // HEADS)] == n for n, part in enumerate(mixed) for j in part)
        units = sets(b.inputs for b in parts["down"])
        assert all(sets(b.outputs for b in parts[name]) == units for name in ffn if name != "down")


@pytest.mark.parametrize("kind", BUILDERS)
def test_the_shared_order_has_one_state_set_for_all_layers(kind):
    _, truth = drawn(kind)
    states, unions = residual(truth, "up"), residual(truth, "attention.query")
    assert states[0] == states[1] and unions[0] == unions[1] and len(states[0]) == 4 and len(unions[0]) == 2
    assert all(sum(part <= union for part in states[0]) == 2 for union in unions[0])
    assert not any(max(part) - min(part) == len(part) - 1 for part in states[0])
    units = [sets(b.outputs for b in truth[f"layers.{i}.up.weight"].blocks) for i in range(LAYERS)]
    assert units[0] != units[1]


def test_in_the_own_order_no_two_partitions_are_alike():
    _, truth = drawn("bert", order="own")
    found = residual(truth, "up") + residual(truth, "attention.query")
    assert len({frozenset(parts) for parts in found}) == 4


def test_in_the_natural_order_blocks_follow_one_another():
    _, truth = drawn("llama", order="natural")
    for decomposition in truth.values():
        assert all(
            np.ptp(b.inputs) == b.inputs.size - 1 and np.ptp(b.outputs) == b.outputs.size - 1
            for b in decomposition.blocks
        )


def test_heads_are_shuffled_unless_the_order_is_natural():
    rng = np.random.default_rng(0)
    _, truth = weights(rng, config("bert", width=96, heads=12, attention_blocks=2))
    assert not any(np.ptp(b.outputs) == b.outputs.size - 1 for b in truth["layers.0.attention.query.weight"].blocks)


REFUSED = {
    "attention_blocks": ({"attention_blocks": 3}, "heads 4 is no multiple of attention_blocks 3"),
    "ffn_blocks": ({"ffn_blocks": 32}, "hidden 48 is no multiple of ffn_blocks 32"),
    "none": ({"ffn_blocks": 0}, "no multiple of ffn_blocks 0"),
    "heads": ({"heads": 6, "attention_blocks": 2}, "width 32 is no multiple of heads 6"),
    "unions": ({"attention_blocks": 4, "ffn_blocks": 2}, "ffn_blocks 2 is no multiple of attention_blocks 4"),
    "order": ({"order": "none"}, "unknown order 'none'"),
    "halves": ({"heads": 32}, "a head of 1 features"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_sizes_that_do_not_fit_are_refused(name):
    options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        config("llama", **options)


def test_attention_may_have_more_blocks_where_it_has_its_own_order():
    _, truth = drawn("bert", order="own", attention_blocks=4, ffn_blocks=2)
    assert len(truth["layers.0.attention.query.weight"].blocks) == 4


def test_missing_torch_is_named_with_the_remedy(monkeypatch):
    genuine = builtins.__import__

    def refuse(name, *rest, **options):
        if name == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return genuine(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"torch: pip install torch"):
        bert(None, np.random.default_rng(0), **SIZES)


def test_a_weight_that_the_exporter_changed_is_told(exported):
    planted, _ = exported("bert")
    truth = dict.fromkeys("ab", next(iter(planted.truth.values())))
    with pytest.raises(ModelError, match="2 weights were planted, but 0 are found"):
        planted_transformer._addressed(planted.model, truth)


def test_the_configuration_is_a_value():
    assert dataclasses.replace(config("bert"), kind="llama") == config("llama")
