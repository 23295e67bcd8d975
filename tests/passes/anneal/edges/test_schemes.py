import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scission.ir.errors import ScissionError
from scission.ir.evidence.null import Null
from scission.passes.anneal.edges.schemes import ALIASES, SCHEMES, SchemeError, estimate, parse_scheme

K, N = 384, 96
FANS = st.integers(1, 10**6)
CLEAR = 1e-4  # what a Kolmogorov-Smirnov test may say of draws with a fixed seed


def law(null):
    return stats.norm(scale=null.scale) if null.family == "normal" else stats.uniform(-null.scale, 2 * null.scale)


def follows(weight, text, fan_in=None, fan_out=None):
    """Whether drawn weights follow the scheme: by a KS test, and inside the support."""
    null = parse_scheme(text).null(fan_in or K, fan_out or N)
    drawn = np.asarray(weight, np.float64).ravel()
    outside = null.family == "uniform" and np.abs(drawn).max() > null.scale
    return bool(stats.kstest(drawn, law(null).cdf).pvalue > CLEAR and not outside)


@given(FANS, FANS)
def test_scales_are_those_of_the_papers(fan_in, fan_out):
    def sigma(text):
        return pytest.approx(parse_scheme(text).null(fan_in, fan_out).sigma, rel=1e-6)

    assert sigma("torch_linear") == 1 / math.sqrt(3 * fan_in)
    assert sigma("kaiming_uniform") == sigma("kaiming_normal").expected == sigma("he_normal").expected
    assert sigma("kaiming_normal") == math.sqrt(2 / fan_in)
    assert sigma("kaiming_normal:a=1") == math.sqrt(1 / fan_in)
    assert sigma("xavier_uniform") == sigma("xavier_normal").expected
    assert sigma("glorot_normal") == math.sqrt(2 / (fan_in + fan_out))
    assert sigma("xavier_uniform:gain=3") == 3 * math.sqrt(2 / (fan_in + fan_out))
    assert sigma("lecun_uniform") == sigma("lecun_normal").expected
    assert sigma("t5") == math.sqrt(1 / fan_in)
    assert sigma("normal:0.5") == 0.5
    assert sigma("uniform:a=0.5") == 0.5 / math.sqrt(3)
    for text in ("bert", "gpt2", "llama"):
        assert sigma(text) == 0.02


@pytest.mark.parametrize(
    ("text", "initialise"),
    [
        ("kaiming_uniform", lambda init, w: init.kaiming_uniform_(w, nonlinearity="relu")),
        ("kaiming_uniform:a=2.236", lambda init, w: init.kaiming_uniform_(w, a=2.236)),
        ("kaiming_normal", lambda init, w: init.kaiming_normal_(w, nonlinearity="relu")),
        ("kaiming_normal:0.2", lambda init, w: init.kaiming_normal_(w, a=0.2)),
        ("xavier_uniform", lambda init, w: init.xavier_uniform_(w)),
        ("xavier_uniform:gain=1.6666667", lambda init, w: init.xavier_uniform_(w, gain=5 / 3)),
        ("xavier_normal", lambda init, w: init.xavier_normal_(w)),
        ("normal:0.3", lambda init, w: init.normal_(w, std=0.3)),
        ("uniform:0.3", lambda init, w: init.uniform_(w, -0.3, 0.3)),
    ],
)
def test_pytorchs_initialisers_draw_from_it(text, initialise):
    torch = pytest.importorskip("torch")
    torch.manual_seed(7)
    weight = torch.empty(N, K)
    initialise(torch.nn.init, weight)
    assert follows(weight.numpy(), text)
    assert not follows(weight.numpy() * 1.05, text), "the test must notice a scale that is off by 5 %"


def test_the_default_of_a_torch_linear():
    torch = pytest.importorskip("torch")
    torch.manual_seed(7)
    weight = torch.nn.Linear(K, N).weight.detach().numpy()
    assert follows(weight, "torch_linear") and follows(weight, f"kaiming_uniform:a={math.sqrt(5)}")
    assert not follows(weight, "kaiming_uniform"), "gain √2 is not what nn.Linear uses"


@pytest.mark.parametrize(("activation", "text"), [("relu", "sklearn_mlp"), ("logistic", "sklearn_mlp:logistic")])
def test_scikit_learns_mlp_draws_from_it(activation, text):
    network = pytest.importorskip("sklearn.neural_network").MLPClassifier(activation=activation)
    network._random_state = np.random.RandomState(5)
    coefficients, _ = network._init_coef(K, N, np.float32)
    assert follows(coefficients, text)
    assert not follows(coefficients, "sklearn_mlp" if activation == "logistic" else "sklearn_mlp:activation=logistic")


def test_the_presets_are_what_transformers_draws():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(3)
    small = {"vocab_size": 11, "num_hidden_layers": 1}
    wide = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 64}
    bert = transformers.BertModel(transformers.BertConfig(**small, **wide))
    assert follows(bert.encoder.layer[0].attention.self.query.weight.detach(), "bert", 128, 128)
    llama = transformers.LlamaModel(transformers.LlamaConfig(**small, **wide))
    assert follows(llama.layers[0].mlp.up_proj.weight.detach(), "llama", 128, 64)
    gpt2 = transformers.GPT2Model(transformers.GPT2Config(vocab_size=11, n_embd=128, n_head=4, n_layer=8))
    assert follows(gpt2.h[0].attn.c_attn.weight.detach(), "gpt2", 128, 384)
    residual = gpt2.h[0].mlp.c_proj.weight.detach()
    assert follows(residual, f"normal:{0.02 / math.sqrt(2 * 8)}") and not follows(residual, "gpt2")
    t5 = transformers.T5EncoderModel(transformers.T5Config(**small, d_model=128, d_kv=16, num_heads=4, d_ff=96))
    attention, feed_forward = t5.encoder.block[0].layer[0].SelfAttention, t5.encoder.block[0].layer[1].DenseReluDense
    assert follows(attention.v.weight.detach(), "t5", 128, 64) and follows(attention.o.weight.detach(), "t5", 64, 128)
    assert follows(feed_forward.wo.weight.detach(), "t5", 96, 128)
    assert follows(attention.q.weight.detach() * math.sqrt(16), "t5", 128, 64)


@pytest.mark.parametrize("level", [0.05, 0.01, 1e-3, 1e-6])
def test_against_a_truncated_normal_the_null_is_the_stricter(level):
    """Keras's and JAX's lecun_normal: σ after truncation at two σ before it."""
    null = parse_scheme("lecun_normal").null(K, N)
    wide = null.scale / stats.truncnorm(-2, 2).std()
    assert 2 * stats.truncnorm(-2, 2, scale=wide).sf(null.threshold(level)) < level


def test_a_draw_at_the_edge_stays_inside_the_support_when_stored():
    for fan_in in range(1, 3000, 7):
        null = parse_scheme("torch_linear").null(fan_in, 1)
        assert null.p_value(np.float32(1 / math.sqrt(fan_in))) > 0


@pytest.mark.parametrize("name", [*SCHEMES, *ALIASES])
def test_every_name_gives_a_null_that_says_where_it_comes_from(name):
    text = f"{name}:0.1" if name in ("normal", "uniform") else name
    null = parse_scheme(text).null(3, 5)
    assert isinstance(null, Null) and not null.estimated and text in null.source


def test_writing_is_forgiving():
    assert parse_scheme(" Kaiming-Uniform : a = 0.5 ").factor == parse_scheme("he_uniform:0.5").factor


def test_an_unknown_name_lists_the_names_and_the_nearest():
    with pytest.raises(SchemeError, match="did you mean 'kaiming_uniform'") as error:
        parse_scheme("kaimming_unifrom")
    assert all(name in str(error.value) for name in SCHEMES) and isinstance(error.value, ScissionError)
    with pytest.raises(SchemeError, match=r"no initialization scheme 'zzz'\. There are"):
        parse_scheme("zzz")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("normal", "give normal:SIGMA"),
        ("uniform", "give uniform:A"),
        ("normal:", "no number"),
        ("normal:wide", "'wide' is no number"),
        ("normal:0", "positive"),
        ("normal:-1", "positive"),
        ("normal:nan", "finite"),
        ("uniform:inf", "finite"),
        ("kaiming_normal:-1", "not negative"),
        ("kaiming_normal:1e200", "no scale"),
        ("xavier_normal:gain=0", "positive"),
        ("xavier_normal:a=1", "takes gain, not 'a'"),
        ("bert:0.02", "takes no value"),
        ("sklearn_mlp:relu6", "one of identity"),
        ("", "There are"),
    ],
)
def test_what_cannot_be_read_says_why(text, why):
    with pytest.raises(SchemeError, match=why):
        parse_scheme(text)


@pytest.mark.parametrize("fans", [(0, 1), (1, 0), (-1, 4)])
def test_empty_weights_have_no_fan(fans):
    with pytest.raises(SchemeError, match="inputs and outputs"):
        parse_scheme("bert").null(*fans)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(1e-4, 1e2), st.sampled_from([np.float32, np.float64]))
def test_pure_initialization_gives_its_own_law_back(seed, scale, dtype):
    rng = np.random.default_rng(seed)
    normal = estimate(rng.normal(0, scale, (120, 90)).astype(dtype))
    assert normal.family == "normal" and normal.estimated and normal.scale == pytest.approx(scale, rel=0.06)
    weight = rng.uniform(-scale, scale, (120, 90)).astype(dtype)
    uniform = estimate(weight)
    if uniform.family == "uniform":  # in 1 of 100; a normal null is the safe mistake: nothing lies beyond 1.4 σ of it
        assert uniform.scale == pytest.approx(scale, rel=0.001) and uniform.p_value(weight).min() > 0
    else:
        assert uniform.p_value(weight).min() > 0.1


@pytest.mark.parametrize("seed", range(5))
def test_which_law_is_seldom_mistaken(seed):
    rng = np.random.default_rng(seed)
    assert estimate(rng.uniform(-1, 1, (300, 200))).family == "uniform"
    assert estimate(rng.laplace(0, 1, (300, 200))).family == "normal"
    assert estimate(rng.standard_t(3, (300, 200))).family == "normal"


@pytest.mark.parametrize(("share", "bias"), [(0.05, 0.06), (0.1, 0.13), (0.3, 0.58)])
def test_the_bias_is_the_documented_one(share, bias):
    rng = np.random.default_rng(11)
    weight = rng.normal(0, 0.02, 1_000_000)
    trained = int(share * weight.size)
    weight[:trained] = rng.choice([-1.0, 1.0], trained)
    exact = stats.norm.ppf(0.5 + 0.25 / (1 - share)) / stats.norm.ppf(0.75)
    assert round(exact - 1, 2) == bias
    assert estimate(weight).scale / 0.02 == pytest.approx(exact, rel=0.01)


def test_trained_entries_beyond_the_support_do_not_hide_a_uniform_law():
    rng = np.random.default_rng(2)
    weight = rng.uniform(-0.1, 0.1, (500, 400))
    trained = rng.random(weight.shape) < 0.03
    weight[trained] = rng.normal(0, 1, int(trained.sum()))
    null = estimate(weight)
    assert null.family == "uniform" and 0.1 <= null.scale < 0.102
    assert null.p_value(weight[~trained]).min() > 0, "the support holds every untouched entry"


def test_what_is_no_draw_is_left_out():
    rng = np.random.default_rng(4)
    weight = rng.normal(0, 0.5, (100, 100))
    holes = weight.copy()
    holes[:20], holes[20:24], holes[24] = 0, np.nan, np.inf
    assert estimate(holes) == estimate(weight[25:])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_types_are_estimated_too(dtype):
    import ml_dtypes

    weight = np.random.default_rng(5).normal(0, 0.02, (200, 100))
    null = estimate(weight.astype(getattr(ml_dtypes, dtype, dtype)))
    assert null.family == "normal" and null.scale == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("weight", [np.zeros((4, 4)), np.full((2, 2), np.nan), np.empty((0, 3)), np.array([[1.0, 0]])])
def test_nothing_to_estimate_from(weight):
    with pytest.raises(SchemeError, match="give a scheme"):
        estimate(weight)
