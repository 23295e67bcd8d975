"""Models beside wrong ones whose error does not show on any input: behind short sequences, padding, a branch that is
seldom taken, the second step of a loop, an entry of a table that is seldom read."""

import numpy as np
from exports import D, Export, blocks
from onnx import TensorProto as T
from onnx import helper as h

ROWS = 200


def table(net, rows=ROWS, wrong_from=None, name="table"):
    """A table of embeddings; wrong from one of its rows on."""
    entries = np.random.default_rng(3).standard_normal((rows, D)).astype(np.float32)
    if wrong_from is not None:
        entries[wrong_from:] += 1
    return net.constant(entries, np.float32, name)


def fixed(net, columns=D, factor=1.0):
    weight = np.random.default_rng(4).standard_normal((D, columns)) / 4
    return net.constant(weight * factor, np.float32)


def inner(name, way, *outputs, inputs=()):
    return h.make_graph(way.nodes, name, list(inputs), [h.make_tensor_value_info(one, *of) for one, of in outputs])


def mean_by_length(wrong):
    """The mean of what counts; wrong: of all positions."""
    net = Export()
    x, lengths = net.input("x", T.FLOAT, "batch", "time", D), net.input("lengths", T.INT64, "batch")
    count = net.op("Squeeze", net.extent(x, 1), net.constant([0]))
    places = net.op("Unsqueeze", net.op("Range", net.constant(0), count, net.constant(1)), net.constant([0]))
    inside = net.floats(net.op("Less", places, net.op("Unsqueeze", lengths, net.constant([1]))))
    kept = net.op("Mul", net.op("MatMul", x, fixed(net)), net.op("Unsqueeze", inside, net.constant([2])))
    total = net.op("ReduceSum", kept, net.constant([1]), keepdims=0)
    if wrong:
        net.output(net.op("Div", total, net.floats(count)), "y")
    else:
        net.output(net.op("Div", total, net.floats(net.op("Unsqueeze", lengths, net.constant([1])))), "y")
    return net.model()


def recurrent_lengths(wrong):
    """A recurrent network that stops where a sequence does; wrong: it reads the padding."""
    net = Export()
    x, lengths = net.input("x", T.FLOAT, "time", "batch", D), net.input("lengths", T.INT32, "batch")
    rng = np.random.default_rng(5)
    W, R = (net.constant(rng.standard_normal((1, 3 * D, D)) / 4, np.float32) for _ in range(2))
    _, end = net.op("GRU", x, W, R, "", "" if wrong else lengths, count=2, hidden_size=D)
    if wrong:
        end = net.op("Add", end, net.op("Mul", net.floats(net.op("ReduceMin", lengths)), net.constant(0, "f4")))
    net.output(end, "y")
    return net.model()


def padding(wrong):
    """Attention that looks at nothing that is padded; wrong: at everything."""
    net = Export()
    x, mask = net.input("x", T.FLOAT, "batch", "time", D), net.input("attention_mask", T.INT64, "batch", "time")
    bias = net.op("Mul", net.hiding(mask), net.constant(0 if wrong else 1, "f4"))
    W = fixed(net)
    heads = net.op(
        "Transpose", net.op("Reshape", net.op("MatMul", x, W), net.constant([0, 0, 2, D // 2])), perm=[0, 2, 1, 3]
    )
    net.output(net.attended(heads, heads, heads, bias), "y")
    return net.model()


def positions_of_mask(wrong):
    """Positions that count what a mask keeps; wrong: that count everything."""
    net = Export()
    mask = net.input("attention_mask", T.INT64, "batch", "time")
    counted = mask
    if wrong:
        counted = net.op("Add", net.op("Mul", mask, net.constant(0)), net.constant(1))
    at = net.op("Sub", net.op("CumSum", counted, net.constant(1)), net.constant(1))
    at = net.op("Max", net.op("Cast", at, to=T.FLOAT), net.constant(0, "f4"))
    net.output(net.op("MatMul", net.op("Gather", table(net), net.op("Cast", at, to=T.INT64)), fixed(net)), "y")
    return net.model()


def sample_rate(wrong):
    """Another network for each of two sample rates; wrong: that for 8000."""
    net = Export()
    x, rate = net.input("x", T.FLOAT, "batch", D), net.input("sr", T.INT64)
    ways = {}
    for name in ("then_branch", "else_branch"):
        way = net.nested()
        end = way.op("MatMul", x, fixed(net, factor=3 if wrong and name == "then_branch" else 1))
        ways[name] = inner(name, way, (end, (T.FLOAT, None)))
    net.output(net.op("If", net.op("Equal", rate, net.constant(8000)), **ways), "y")
    return net.model()


def first_call(wrong):
    """A cache that is empty in the first call; wrong: what that computes."""
    net = Export()
    x, past = (
        net.input("x", T.FLOAT, "batch", "time", D),
        net.input("past", T.FLOAT, "batch", "past_sequence_length", D),
    )
    empty = net.op("Equal", net.op("Squeeze", net.extent(past, 1), net.constant([0])), net.constant(0))
    ways = {}
    for name in ("then_branch", "else_branch"):
        way = net.nested()
        seen = x if name == "then_branch" else way.op("Concat", past, x, axis=1)
        end = way.op("MatMul", seen, fixed(net, factor=3 if wrong and name == "then_branch" else 1))
        ways[name] = inner(name, way, (end, (T.FLOAT, None)))
    net.output(net.op("If", empty, **ways), "y")
    return net.model()


def cached(wrong):
    """A flag says whether there is a cache; wrong: what is done with one."""
    net = Export()
    x, flag = net.input("x", T.FLOAT, "batch", D), net.input("use_cache_branch", T.BOOL, 1)
    ways = {}
    for name in ("then_branch", "else_branch"):
        way = net.nested()
        end = way.op("MatMul", x, fixed(net, factor=3 if wrong and name == "then_branch" else 1))
        ways[name] = inner(name, way, (end, (T.FLOAT, None)))
    net.output(net.op("If", flag, **ways), "y")
    return net.model()


def rare_content(wrong):
    """A branch that only very large inputs take; wrong: what that computes."""
    net = Export()
    x = net.input("x", T.FLOAT, "batch", D)
    large = net.op("Greater", net.op("ReduceMax", x, keepdims=0), net.constant(1e6, "f4"))
    ways = {}
    for name in ("then_branch", "else_branch"):
        way = net.nested()
        end = way.op("MatMul", x, fixed(net, factor=3 if wrong and name == "then_branch" else 1))
        ways[name] = inner(name, way, (end, (T.FLOAT, None)))
    net.output(net.op("If", large, **ways), "y")
    return net.model()


def looped(wrong, until=None):
    """A loop whose steps after the first are wrong; until: the condition is an input below a limit, else a count."""
    net = Export()
    x = net.input("x", T.FLOAT, "batch", D)
    trip = net.input("steps", T.INT64) if until is None else net.constant(9)
    limit = net.input("limit", T.FLOAT) if until is not None else None
    body = net.nested()
    later = body.op("Cast", body.op("Greater", "i", net.constant(0)), to=T.FLOAT)
    step = body.op("MatMul", "state", fixed(net))
    if wrong:
        step = body.op("Add", step, later)
    end = body.op("Tanh", step)
    going = body.op("Identity", "go")
    if limit is not None:
        going = body.op("Less", body.op("Cast", "i", to=T.FLOAT), limit)
    ins = [h.make_tensor_value_info(*of) for of in (("i", T.INT64, []), ("go", T.BOOL, []), ("state", T.FLOAT, None))]
    graph = inner("body", body, (going, (T.BOOL, [])), (end, (T.FLOAT, None)), inputs=ins)
    net.output(net.op("Loop", trip, "", x, body=graph), "y")
    return net.model()


def stopped(wrong):
    """A loop that goes on as long as its step is below an input."""
    return looped(wrong, until=True)


def scanned(wrong):
    """A scan over time whose state is wrong from the second step on."""
    net = Export()
    x, first = net.input("x", T.FLOAT, "time", D), net.input("h", T.FLOAT, D)
    count = net.constant(np.zeros(1), "f4")
    body = net.nested()
    mixed = body.op("MatMul", "x_t", fixed(net))
    added = body.op("Add", mixed, body.op("Mul", "state", net.constant(0.5, "f4")))
    if wrong:
        added = body.op("Add", added, "n")
    end, seen = body.op("Tanh", added), body.op("Identity", added)
    more = body.op("Add", "n", net.constant(np.ones(1), "f4"))
    ins = [
        h.make_tensor_value_info(*of) for of in (("state", T.FLOAT, [D]), ("n", T.FLOAT, [1]), ("x_t", T.FLOAT, [D]))
    ]
    outs = ((end, (T.FLOAT, [D])), (more, (T.FLOAT, [1])), (seen, (T.FLOAT, [D])))
    graph = inner("body", body, *outs, inputs=ins)
    _, _, y = net.op("Scan", first, count, x, count=3, body=graph, num_scan_inputs=1)
    net.output(y, "y")
    return net.model()


def rare_token(wrong):
    """One row of a table of tokens is wrong."""
    net = Export()
    ids = net.input("input_ids", T.INT64, "batch", "time")
    rows = net.op("Gather", table(net, 3000, 2999 if wrong else None), ids)
    net.output(net.op("MatMul", rows, fixed(net)), "y")
    return net.model()


def rare_token_of_branch(wrong):
    """Two tables of tokens, one for each value of a flag; wrong: one row of one of them."""
    net = Export()
    ids, flag = net.input("input_ids", T.INT64, "batch", "time"), net.input("use_second", T.BOOL, 1)
    ways = {}
    for name in ("then_branch", "else_branch"):
        rows, way = table(net, 3000, 2999 if wrong and name == "then_branch" else None, name), net.nested()
        end = way.op("MatMul", way.op("Gather", rows, ids), fixed(net))
        ways[name] = inner(name, way, (end, (T.FLOAT, None)))
    net.output(net.op("If", flag, **ways), "y")
    return net.model()


def late_positions(wrong):
    """Positions are cut from a table as long as the sequence; wrong: those far from its beginning."""
    net = Export()
    x = net.input("x", T.FLOAT, "batch", "time", D)
    cut = net.op(
        "Slice", table(net, wrong_from=100 if wrong else None), net.constant([0]), net.extent(x, 1), net.constant([0])
    )
    net.output(net.op("MatMul", net.op("Add", x, cut), fixed(net)), "y")
    return net.model()


def counted_positions(wrong):
    """Positions are counted and looked up in a table; wrong: those far from its beginning."""
    net = Export()
    x = net.input("x", T.FLOAT, "batch", "time", D)
    count = net.op("Squeeze", net.extent(x, 1), net.constant([0]))
    at = net.op("Range", net.constant(0), count, net.constant(1))
    places = net.op("Gather", table(net, wrong_from=100 if wrong else None), at)
    net.output(net.op("MatMul", net.op("Add", x, places), fixed(net)), "y")
    return net.model()


def given_positions(wrong):
    """Positions are looked up in a table; wrong: those far from its beginning."""
    net = Export()
    x, at = net.input("x", T.FLOAT, "batch", "time", D), net.input("position_ids", T.INT64, "batch", "time")
    places = net.op("Gather", table(net, wrong_from=ROWS - 20 if wrong else None), at)
    net.output(net.op("MatMul", net.op("Add", x, places), fixed(net)), "y")
    return net.model()


def late_steps(wrong):
    """What is added to a picture depends on its time step; wrong: late ones."""
    net = Export()
    x, step = net.input("sample", T.FLOAT, "batch", D, 8, 8), net.input("timestep", T.INT64, 1)
    late = net.op("Sub", net.op("Max", net.floats(step), net.constant(500, "f4")), net.constant(500, "f4"))
    rows = net.op("MatMul", net.op("ReduceMean", x, axes=[2, 3], keepdims=0), fixed(net))
    net.output(net.op("Add", rows, net.op("Mul", late, net.constant(0.1 if wrong else 0, "f4"))), "y")
    return net.model()


def bright_pixels(wrong):
    """A picture of bytes; wrong: bright ones."""
    net = Export()
    x = net.input("image", T.UINT8, "batch", 3, "height", "width")
    light = net.op("Sub", net.op("Max", net.floats(x), net.constant(200, "f4")), net.constant(200, "f4"))
    some = net.op("Mul", light, net.constant(1 if wrong else 0, "f4"))
    mean = net.op("ReduceMean", net.op("Add", net.floats(x), some), axes=[2, 3], keepdims=0)
    net.output(net.op("MatMul", mean, net.constant(blocks(net.rng, 3, 6, 3), "f4")), "y")
    return net.model()


def far_tokens(wrong):
    """Tokens that enter as numbers, and no table says how many there are; wrong: large ones."""
    net = Export()
    ids = net.input("input_ids", T.INT64, "batch", "time")
    mask = net.input("attention_mask", T.INT64, "batch", "time")
    some = net.op("Sub", net.op("Max", net.floats(ids), net.constant(3, "f4")), net.constant(3, "f4"))
    x = net.op("Add", net.floats(ids), net.op("Mul", some, net.constant(1 if wrong else 0, "f4")))
    x = net.op("Unsqueeze", net.op("Mul", x, net.floats(mask)), net.constant([2]))
    net.output(net.op("MatMul", net.op("Expand", x, net.constant([1, 1, D])), fixed(net)), "y")
    return net.model()


def next_positions(wrong):
    """Positions turn into angles, and no table says how many there are; wrong: from the fifth on."""
    net = Export()
    x, at = net.input("x", T.FLOAT, "batch", "time", D), net.input("position_ids", T.INT64, "batch", "time")
    past = net.input("past_key_values.0.key", T.FLOAT, "batch", 2, "past_sequence_length", D)
    where = net.op("Unsqueeze", net.floats(at), net.constant([2]))
    late = net.op("Sub", net.op("Max", where, net.constant(4, "f4")), net.constant(4, "f4"))
    x = net.op("Add", x, net.op("Mul", late, net.constant(0.1 if wrong else 0, "f4")))
    net.output(net.op("MatMul", net.op("Add", x, net.op("Sin", where)), fixed(net)), "y")
    net.output(net.op("ReduceSum", past, keepdims=0), "z")
    return net.model()


HIDDEN = {
    "the mean of short sequences": mean_by_length,
    "a recurrent network on short sequences": recurrent_lengths,
    "attention to padding": padding,
    "positions behind padding": positions_of_mask,
    "a branch for another sample rate": sample_rate,
    "a branch for an empty cache": first_call,
    "a branch for a cache": cached,
    "a branch for very large inputs": rare_content,
    "the second step of a loop that is counted": looped,
    "the second step of a loop that is stopped": stopped,
    "the second step of a scan": scanned,
    "the last of many tokens": rare_token,
    "the last of many tokens of a branch": rare_token_of_branch,
    "late positions, cut": late_positions,
    "late positions, counted": counted_positions,
    "late positions, looked up": given_positions,
    "late time steps": late_steps,
    "bright pixels of bytes": bright_pixels,
    "tokens without a table": far_tokens,
    "positions without a table": next_positions,
}
