"""The formats in which pruned models are published, quantised as ONNX Runtime's own tools do it."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from scission.runtime.ort.library import onnxruntime

onnxruntime()  # which reports itself where it is imported otherwise

from onnxruntime.quantization import (  # noqa: E402 - not before
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer  # noqa: E402 - the same

__all__ = ["BLOCK", "four_bits", "quantised", "quantised_while_running"]

BLOCK = 32  # entries that share a scale in a weight of four bits


class Fed(CalibrationDataReader):
    """One batch to calibrate on."""

    def __init__(self, x: np.ndarray) -> None:
        self.left = iter([{"x": x}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.left, None)


def quantised(model: onnx.ModelProto, x: np.ndarray, *, operators: bool = False) -> onnx.ModelProto:
    """Products with weights in 8 bits, a scale for each result; between QuantizeLinear and its inverse, or as QLinear.

    Products of two activations stay as they are, as is usual: a softmax that is quantised does not add up to one.
    """
    stored = {one.name for one in model.graph.initializer}
    of_two = [one.name for one in model.graph.node if one.op_type == "MatMul" and not stored.intersection(one.input)]
    with tempfile.TemporaryDirectory() as folder:
        before, after = (Path(folder) / f"{name}.onnx" for name in ("before", "after"))
        onnx.save(model, before)
        quantize_static(
            before,
            after,
            Fed(x),
            quant_format=QuantFormat.QOperator if operators else QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # or pairs of products saturate where a processor lacks instructions for them
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
            nodes_to_exclude=of_two,
        )
        return onnx.load(after)


def quantised_while_running(model: onnx.ModelProto, x: np.ndarray) -> onnx.ModelProto:
    """Weights in 8 bits, activations quantised when they are known: DynamicQuantizeLinear and MatMulInteger."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = (Path(folder) / f"{name}.onnx" for name in ("before", "after"))
        onnx.save(model, before)
        options = {"MatMulConstBOnly": True}
        quantize_dynamic(
            before, after, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8, extra_options=options
        )
        return onnx.load(after)


def four_bits(model: onnx.ModelProto, x: np.ndarray) -> onnx.ModelProto:
    """Weights in blocks of four bits, each with a scale and a zero point: MatMulNBits."""
    logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.WARNING)
    made = MatMulNBitsQuantizer(model, block_size=BLOCK, is_symmetric=True)
    made.process()
    found: onnx.ModelProto = made.model.model
    return found
