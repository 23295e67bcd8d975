import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from readers import model

from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.io.soundness import mistyped
from scission.ir.io.written import bodies


def edited(edit):
    made = onnx.ModelProto()
    made.CopyFrom(model())
    edit(made)
    return made


def test_a_sound_model_is_taken():
    assert mistyped(model(), bodies(model())) == "" and load(model()).graph.graph


@pytest.mark.parametrize("kind", [kind for kind in onnx.AttributeProto.AttributeType.values() if kind != 1])
def test_an_attribute_of_a_wrong_type_is_refused_with_its_node(kind):
    def edit(made):
        made.graph.node[5].attribute[0].type = kind
        assert made.graph.node[5].attribute[0].name == "alpha"

    with pytest.raises(ModelError, match=r"node 'gemm' \(Gemm\): attribute 'alpha' is of the type"):
        load(edited(edit))


def test_attributes_in_branches_and_functions_are_looked_at_and_not_those_of_functions_that_nothing_calls():
    function = edited(lambda made: setattr(made.functions[0].node[0].attribute[0], "type", 3))
    assert "'inner'" in mistyped(function, bodies(function))
    function.graph.node[2].op_type = "Other"
    assert mistyped(function, bodies(function)) == ""
    body = edited(lambda made: made.graph.node[1].attribute[1].g.node[0].MergeFrom(
        helper.make_node("Gemm", [], [], "deep", alpha="text")))  # fmt: skip
    body.graph.node[1].attribute[1].g.node[0].op_type = "Gemm"
    assert "(Gemm): attribute 'alpha'" in mistyped(body, bodies(body))


@pytest.mark.parametrize("domain", ["com.example", "ai.onnx.ml"])
def test_attributes_of_other_domains_may_be_of_any_type(domain):
    def edit(made):
        made.graph.node[5].domain = domain
        made.graph.node[5].attribute[0].type = 3

    made = edited(edit)
    assert mistyped(made, bodies(made)) == ""


@pytest.mark.parametrize("version", [0, -1, 1 << 31, (1 << 63) - 1])
def test_an_operator_set_that_cannot_be_is_refused(version):
    with pytest.raises(ModelError, match="does not exist"):
        load(edited(lambda made: setattr(made.opset_import[0], "version", version)))


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("beyond", [1 << 32, 5 << 32, -1 << 32])
def test_an_operator_set_is_counted_as_it_is_where_the_model_runs(domain, inside, beyond):
    imports = [helper.make_opsetid(domain, 17 + beyond * (not inside)), helper.make_opsetid("local", 1)]
    own = [helper.make_opsetid("", 17 + beyond * inside)]
    body = helper.make_function("local", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], own)
    x, y = (helper.make_tensor_value_info(name, 1, [2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("F", ["x"], ["y"], domain="local")], "g", [x], [y])
    made = helper.make_model(graph, opset_imports=imports, functions=[body], ir_version=8)
    given = made.SerializeToString()
    run = onnxruntime.InferenceSession
    if inside:
        with pytest.raises(Exception, match="opset version"):
            run(given)
        with pytest.raises(ModelError, match="does not exist"):
            load(made)
        return
    assert run(given).run(None, {"x": np.float32([-1, 1])})[0].tolist() == [0, 1]
    assert load(made).graph.opset_imports[domain] == 17 and made.SerializeToString() == given


@pytest.mark.parametrize("name", ["", "nowhere", "a", "W"])
def test_a_branch_that_does_not_make_its_output_is_refused(name):
    with pytest.raises(ModelError, match="without a name" if not name else "made by nothing"):
        load(edited(lambda made: setattr(made.graph.node[1].attribute[0].g.output[0], "name", name)))
