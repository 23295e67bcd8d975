import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.io.validity import bare, objection
from scission.runtime.ort.library import SessionError
from scission.runtime.ort.session import open_session
from scission.runtime.ort.validity import refusal

ELSEWHERE = (helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1))


BLOCKS = np.kron(np.eye(2), np.random.default_rng(0).standard_normal((24, 32))).astype(np.float32)


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes=None, weight=None, *, opset=17, inputs=None, outputs=None, **options):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((48, 64)).astype(np.float32) if weight is None else weight
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"], "mm")]
    graph = helper.make_graph(
        nodes,
        "g",
        inputs or [value("x", ["n", 48])],
        outputs or [value("y", ["n", 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    imports = options.pop("imports", [helper.make_opsetid("", opset)])
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **options)


def node(*args, **attributes):
    return helper.make_node(*args, **attributes)


def function(name, calls, opsets):
    return helper.make_function("local", name, ["x"], ["y"], [node(calls, ["x"], ["y"], domain="local")], opsets)


def without(proto, field):
    proto.ClearField(field)
    return proto


def branch(name):
    return helper.make_graph([node("MatMul", ["x", "w"], [name])], name, [], [value(name, None)])


def borrowing():
    """A function whose If takes both branches from an attribute of the function."""
    fork = node("If", ["c"], ["y"], "fork")
    for name in ("then_branch", "else_branch"):
        fork.attribute.add(name=name, ref_attr_name="branch", type=onnx.AttributeProto.GRAPH)
    held = node("Constant", [], ["c"], value=numpy_helper.from_array(np.bool_(True)))
    return helper.make_function("local", "Fork", ["x", "w"], ["y"], [held, fork], [*ELSEWHERE[:1]], ["branch"])


def untyped(proto):
    proto.graph.initializer[0].data_type = TensorProto.UNDEFINED
    return proto


def cut(proto):
    tensor = proto.graph.initializer[0]
    tensor.raw_data = tensor.raw_data[:-4]
    return proto


LOCAL = [helper.make_opsetid("local", 1)]
BROKEN = {
    "no operator": (lambda: model([onnx.NodeProto(name="odd", input=["x", "w"], output=["y"])]), "odd"),
    "unknown operator": (lambda: model([node("MatMulTypo", ["x", "w"], ["y"], "mm")]), "mm"),
    "one input": (lambda: model([node("MatMul", ["x"], ["y"], "mm")]), "mm"),
    "three inputs": (lambda: model([node("MatMul", ["x", "w", "x"], ["y"], "mm")]), "mm"),
    "odd attribute": (lambda: model([node("MatMul", ["x", "w"], ["y"], "mm", transB=1)]), "mm"),
    "missing attribute": (lambda: model([node("Concat", ["x", "w"], ["y"], "glue")]), "glue"),
    "other rows": (lambda: model(weight=np.ones((47, 64), np.float32)), "mm"),
    "other type": (lambda: model(weight=np.ones((48, 64), np.float64)), "mm"),
    "set 0": (lambda: model(opset=0), "operator set 0"),
    "set 999": (lambda: model(opset=999), "operator set 999"),
    "no IR version": (lambda: without(model(), "ir_version"), "IR version"),
    "circle": (
        lambda: model(
            [node("A", ["x"], ["y"], domain="local")],
            functions=[function("A", "B", LOCAL), function("B", "A", LOCAL)],
            imports=[*ELSEWHERE, *LOCAL],
        ),
        "local.A → local.B → local.A",
    ),
    "a branch from an attribute": (
        lambda: model(
            [node("Fork", ["x", "w"], ["y"], domain="local", branch=branch("t"))],
            functions=[borrowing()],
            imports=[*ELSEWHERE, *LOCAL],
        ),
        "'fork' (If) takes its graph from an attribute",
    ),
    "a weight has no type": (lambda: untyped(model()), "initializer 'w' "),
    "bytes are missing": (
        lambda: cut(model()),
        "initializer 'w' ",
    ),
    "inside a branch": (
        lambda: model(
            [
                node(
                    "If",
                    ["c"],
                    ["y"],
                    "fork",
                    then_branch=helper.make_graph([node("Relu", [], ["t"], "empty")], "t", [], [value("t", None)]),
                    else_branch=helper.make_graph([node("MatMul", ["x", "w"], ["e"])], "e", [], [value("e", None)]),
                )
            ],
            inputs=[value("x", ["n", 48]), value("c", [], TensorProto.BOOL)],
        ),
        "",
    ),
    "beside an operator of another domain": (
        lambda: model(
            [node("MatMul", ["x"], ["h"], "mm"), node("Fold", ["h"], ["y"], domain="org.example")], imports=ELSEWHERE
        ),
        "mm",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_nothing_takes_is_refused_whatever_is_done_with_it(name, tmp_path):
    make, said = BROKEN[name]
    path = tmp_path / "in.onnx"
    path.write_bytes(make().SerializeToString())
    for call in (scission.plan, lambda source: scission.optimize(source, tmp_path / "out.onnx")):
        with pytest.raises(ModelError) as error:
            call(path)
        assert str(path) in str(error.value) and said in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out.onnx").exists()


def unsorted():
    return model([node("Relu", ["h"], ["y"], "relu"), node("MatMul", ["x", "w"], ["h"], "mm")])


def unsorted_blocks():
    return model(unsorted().graph.node, weight=BLOCKS)


def twice():
    """An output that the graph lists twice."""
    proto = model(weight=BLOCKS)
    proto.graph.output.append(proto.graph.output[0])
    return proto


def contrib():
    """As ONNX Runtime's own optimiser writes it: an operator of its own in the standard domain."""
    norm = node("SimplifiedLayerNormalization", ["h", "k"], ["y"], "norm", axis=-1)
    scale = node("Constant", [], ["k"], value_floats=[1.0] * 64)
    return model([node("MatMul", ["x", "w"], ["h"], "mm"), scale, norm])


def stale():
    proto = model()
    proto.graph.value_info.append(value("h", [3, 3]))
    return proto


RUNS = {
    "unsorted": unsorted,
    "stale shapes": stale,
    "IR version 0": lambda: (lambda proto: (setattr(proto, "ir_version", 0), proto)[1])(model()),
    "contrib": contrib,
    "unsorted blocks": unsorted_blocks,
    "an output twice": twice,
}


@pytest.mark.parametrize("name", RUNS)
def test_what_onnx_runtime_runs_is_never_refused(name):
    proto = RUNS[name]()
    open_session(proto.SerializeToString())
    assert refusal(load(proto), proto) == ()


def negative():
    """An open dimension as some exporters write it."""
    return model(weight=BLOCKS, inputs=[value("x", [-1, 48])], outputs=[value("y", [-1, 64])])


@pytest.mark.parametrize("make", [unsorted_blocks, twice, negative])
def test_a_quirk_survives_the_split(make):
    proto = make()
    changed = scission.apply(proto, scission.plan(proto, force=True))
    assert len(changed.graph.node) > len(proto.graph.node)
    assert list(changed.graph.output) == list(proto.graph.output)
    assert list(changed.graph.input) == list(proto.graph.input)
    assert scission.check(proto, changed).equal


def test_an_extent_below_0_is_open():
    (row,) = scission.inspect(negative(), batch=(1, 4), provider="cpu")
    assert row.rows == (1, 4)


def test_an_operator_whose_library_is_not_given_is_left_to_whoever_has_it():
    """Beside it a contrib operator in the standard domain, which the checker refuses."""
    proto = contrib()
    proto.graph.node[-1].output[0] = "z"
    proto.graph.node.append(node("Fold", ["z"], ["y"], domain="org.example"))
    proto.opset_import.append(ELSEWHERE[1])
    assert "SimplifiedLayerNormalization" in objection(load(proto))
    with pytest.raises(SessionError, match="Fold"):
        open_session(proto.SerializeToString())
    assert refusal(load(proto), proto) == ()


def test_weights_are_not_looked_at(tmp_path):
    path = tmp_path / "large.onnx"
    path.write_bytes(
        model(weight=np.ones((48, 1 << 16), np.float32), outputs=[value("y", ["n", 1 << 16])]).SerializeToString()
    )
    proto = bare(load(path))
    assert proto.ByteSize() < 1000 and [one.name for one in proto.graph.input] == ["x", "w"]
    assert objection(load(path)) == ""


def test_functions_that_unfold_endlessly_are_not_unfolded():
    """Each calls the next twice: forty of them are 2^40 nodes."""
    ids = [helper.make_opsetid("local", 1), helper.make_opsetid("", 17)]
    bodies = [
        helper.make_function(
            "local",
            f"f{i}",
            ["x"],
            ["y"],
            [node(f"f{i + 1}", ["x"], ["h"], domain="local"), node(f"f{i + 1}", ["h"], ["y"], domain="local")],
            ids,
        )
        for i in range(40)
    ]
    bodies.append(helper.make_function("local", "f40", ["x"], ["y"], [node("Relu", ["x"], ["y"])], ids))
    proto = model(
        [node("MatMul", ["x", "w"], ["h"], "mm"), node("f0", ["h"], ["y"], domain="local")],
        functions=bodies,
        imports=ids,
    )
    assert objection(load(proto)) == ""
