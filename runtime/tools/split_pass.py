"""A pass of onnx_ir that splits a model in place, among other passes in a Sequential or a PassManager."""

from __future__ import annotations

from ...ir.onnx_ir import onnx_ir as ir
from ...passes.rewrite.edit import adopt
from ..ort.trials import Trials
from ..pipeline.options import OptimizeOptions, PlanOptions
from ..pipeline.result import Result
from .proved import UNTIMED, proved

__all__ = ["SplitPass"]


class SplitPass(ir.passes.InPlacePass):
    """Split the dense weights of a model in place, as a pass of onnx_ir.

    options: how to plan; further: whether to prove the split model equal, as by default, and to measure it, as not by
    default; trials: how models are run for both. After a call `result` tells what was done and why. The graph object
    of a model that is split is a new one, the old one stays as it was. Calls raise SplitError where the split model
    differs, after which the model is as it was, and what `scission.optimize` raises; onnx_ir wraps both in a
    PassError where passes follow one another.

    >>> import numpy as np
    >>> from onnx import helper, numpy_helper
    >>> weight = numpy_helper.from_array(np.kron(np.eye(4), np.ones((8, 8))).astype(np.float32), "w")
    >>> x, y = (helper.make_tensor_value_info(name, 1, ["n", 32]) for name in "xy")
    >>> node = helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")
    >>> opsets = [helper.make_opsetid("", 17)]
    >>> proto = helper.make_model(
    ...     helper.make_graph([node], "g", [x], [y], [weight]), opset_imports=opsets, ir_version=10)
    >>> step = SplitPass(PlanOptions(force=True))
    >>> done = ir.passes.Sequential(step)(ir.from_proto(proto))
    >>> done.modified, step.result.outcome, sum(one.op_type == "MatMul" for one in done.model.graph)
    (True, 'split', 1)
    """

    def __init__(
        self,
        options: PlanOptions | None = None,
        *,
        further: OptimizeOptions | None = None,
        trials: Trials | None = None,
    ) -> None:
        super().__init__()
        self.options, self.further, self.trials = options, further or UNTIMED, trials
        self.result: Result | None = None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Split a model; the result says whether anything was."""
        self.result = result = proved(model, self.options, self.further, self.trials)
        if result.outcome != "split":
            return ir.passes.PassResult(model, modified=False)
        assert isinstance(result.model, ir.Model)
        adopt(model, result.model)
        return ir.passes.PassResult(model, modified=True)
