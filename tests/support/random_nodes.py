"""Random single nodes of operators that have an axis rule: shapes, attributes and constants drawn by hypothesis."""

import numpy as np
from hypothesis import strategies as st
from reference import node

MS = "com.microsoft"
few = st.integers(2, 4)


def ints(*numbers):
    return np.array(numbers, np.int64)


def case(op, inputs, shapes, constants=None, domain="", outputs="y", **attributes):
    """(node, shapes of what it is fed, its constants)."""
    return node(op, inputs, outputs, "n", domain, **attributes), shapes, constants or {}


def shape(draw, least=1, most=4):
    return draw(st.lists(few, min_size=least, max_size=most))


def axis(draw, rank):
    """An axis counted from either end."""
    return draw(st.integers(-rank, rank - 1))


def partner(draw, full):
    """A shape that broadcasts to `full`."""
    return [1 if draw(st.booleans()) else n for n in full[draw(st.integers(0, len(full))) :]]


def binary(draw):
    x = shape(draw)
    return case(draw(st.sampled_from(["Add", "Mul", "Max", "Sub"])), "x b", {"x": x, "b": partner(draw, x)})


def unary(draw):
    return case(draw(st.sampled_from(["Tanh", "Neg", "Abs", "Floor"])), "x", {"x": shape(draw)})


def choice(draw):
    x = shape(draw)
    return case("Where", "c x b", {"c": (partner(draw, x), np.bool_), "x": x, "b": partner(draw, x)})


def softmax(draw):
    x = shape(draw)
    return case(draw(st.sampled_from(["Softmax", "LogSoftmax"])), "x", {"x": x}, axis=axis(draw, len(x)))


def norm(draw):
    x = shape(draw)
    at = axis(draw, len(x))
    return case("LayerNormalization", "x s b", {"x": x, "s": x[at:], "b": x[at:]}, axis=at)


def reduction(draw):
    x = shape(draw)
    over = draw(st.lists(st.integers(0, len(x) - 1), min_size=1, max_size=len(x), unique=True))
    op = draw(st.sampled_from(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"]))
    signed = [a - len(x) if draw(st.booleans()) else a for a in over]
    return case(op, "x a", {"x": x}, {"a": ints(*signed)}, keepdims=draw(st.integers(0, 1)))


def transpose(draw):
    x = shape(draw)
    return case("Transpose", "x", {"x": x}, perm=draw(st.permutations(range(len(x)))))


def squeeze(draw):
    x = shape(draw, most=3)
    at = draw(st.integers(0, len(x)))
    return case("Squeeze", "x a", {"x": [*x[:at], 1, *x[at:]]}, {"a": ints(at)})


def unsqueeze(draw):
    x = shape(draw, most=3)
    return case("Unsqueeze", "x a", {"x": x}, {"a": ints(axis(draw, len(x) + 1))})


def reshape(draw):
    """Some extents cut in two, some joined, some left as they are."""
    x, after = draw(st.lists(st.sampled_from([2, 3, 4, 6]), min_size=1, max_size=4)), []
    for n in x:
        how = draw(st.sampled_from(["kept", "cut", "joined"]))
        if how == "cut" and n in (4, 6):
            after += [2, n // 2]
        elif how == "joined" and after:
            after[-1] *= n
        else:
            after.append(n)
    return case("Reshape", "x s", {"x": x}, {"s": ints(*after)})


def flatten(draw):
    x = shape(draw)
    return case("Flatten", "x", {"x": x}, axis=draw(st.integers(0, len(x))))


def expand(draw):
    full = shape(draw)
    return case("Expand", "x s", {"x": partner(draw, full)}, {"s": ints(*full)})


def gather(draw):
    x = shape(draw, most=3)
    at = axis(draw, len(x))
    places = draw(st.sampled_from([(), (2,), (2, 2)]))
    picked = [draw(st.integers(0, x[at] - 1)) for _ in range(int(np.prod(places)))]
    return case("Gather", "x i", {"x": x}, {"i": np.array(picked, np.int64).reshape(places)}, axis=at)


def window(draw):
    x = shape(draw)
    at = axis(draw, len(x))
    start = draw(st.integers(0, x[at] - 1))
    bounds = {"s": ints(start), "e": ints(draw(st.integers(start + 1, 9))), "a": ints(at)}
    return case("Slice", "x s e a", {"x": x}, bounds)


def concat(draw):
    x = shape(draw)
    at = axis(draw, len(x))
    other = list(x)
    other[at] = draw(few)
    return case("Concat", "x b", {"x": x, "b": other}, axis=at)


def split(draw):
    x = shape(draw)
    at = axis(draw, len(x))
    first = draw(st.integers(1, x[at] - 1))
    return case("Split", "x s", {"x": x}, {"s": ints(first, x[at] - first)}, outputs="y z", axis=at)


def product(draw):
    """Both with axes of batches or without, which broadcast."""
    rows, K, columns = draw(few), draw(few), draw(few)
    batches = shape(draw, 0, 2)
    return case("MatMul", "x b", {"x": [*batches, rows, K], "b": [*partner(draw, batches), K, columns]})


def vectors(draw):
    K, x = draw(few), shape(draw, 0, 2)
    return (
        case("MatMul", "x b", {"x": [*x, K], "b": [K]})
        if draw(st.booleans())
        else case("MatMul", "b x", {"b": [K], "x": [K, draw(few)]})
    )


def gemm(draw):
    rows, K, columns = draw(few), draw(few), draw(few)
    a, b = draw(st.booleans()), draw(st.booleans())
    added = partner(draw, [rows, columns])
    shapes = {"x": [K, rows] if a else [rows, K], "b": [columns, K] if b else [K, columns], "c": added}
    return case("Gemm", "x b c", shapes, transA=int(a), transB=int(b))


def einsum(draw):
    extents = dict(zip("abcd", (draw(few) for _ in "abcd"), strict=True))
    first, second = (draw(st.permutations("abcd"))[: draw(st.integers(1, 3))] for _ in range(2))
    known = sorted({*first, *second})
    out = draw(st.permutations(known))[: draw(st.integers(0, len(known)))]
    shapes = {"x": [extents[c] for c in first], "b": [extents[c] for c in second]}
    return case("Einsum", "x b", shapes, equation=f"{''.join(first)},{''.join(second)}->{''.join(out)}")


def conv(draw):
    channels, kernels, width = draw(few), draw(few), draw(st.integers(1, 2))
    alone = draw(st.booleans())
    weight = [channels, 1, width] if alone else [kernels, channels, width]
    shapes = {"x": [2, channels, 4], "w": weight, "b": weight[:1]}
    return case("Conv", "x w b", shapes, group=channels if alone else 1)


def batch_norm(draw):
    x = shape(draw, least=2)
    return case("BatchNormalization", "x s b m v", {"x": x, **{name: [x[1]] for name in "sbmv"}})


def quantise(draw):
    x = shape(draw)
    at = axis(draw, len(x))
    return case("QuantizeLinear", "x s", {"x": x, "s": [x[at]]}, axis=at)


def pad(draw):
    x = shape(draw)
    ends = [draw(st.integers(0, 2)) if draw(st.booleans()) else 0 for _ in range(2 * len(x))]
    mode = draw(st.sampled_from(["constant", "edge"]))
    return case("Pad", "x p", {"x": x}, {"p": ints(*ends)}, mode=mode)


def resize(draw):
    x = [1, *shape(draw, 1, 3)]
    scales = [1, *(draw(st.sampled_from([1, 2])) for _ in x[1:])]
    return case("Resize", "x - s", {"x": x}, {"s": np.array(scales, np.float32)}, mode="nearest")


def instance_norm(draw):
    x = shape(draw, least=3)
    return case("InstanceNormalization", "x s b", {"x": x, "s": [x[1]], "b": [x[1]]})


def tile(draw):
    x = shape(draw)
    return case("Tile", "x n", {"x": x}, {"n": ints(*(draw(st.integers(1, 2)) for _ in x))})


MAKERS = (unary, binary, choice, softmax, norm, reduction, transpose, squeeze, unsqueeze, reshape, flatten, expand)
MAKERS += (gather, window, concat, split, product, vectors, gemm, einsum, conv, batch_norm, quantise)
MAKERS += (pad, resize, instance_norm, tile)


@st.composite
def cases(draw, makers=MAKERS):
    return draw(st.sampled_from(makers))(draw)
