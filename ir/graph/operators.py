"""What operators are, told once: which compute element by element, which reshape, reduce, normalise, measure or draw.

Every analysis asks here, so that an operator which is added to a trait is understood by all of them. A name stands for
the operator of ONNX; operators of ONNX Runtime's own domain are known where `MICROSOFT` names them.
"""

from __future__ import annotations

from collections.abc import Collection, Container

from ..onnx_ir import onnx_ir as ir

__all__ = [
    *("ADDING", "AFFINE", "ARITHMETIC", "ARITHMETIC_OF_SIZES", "ATTENTION", "BIASED", "BLOCKWISE", "COMPARING"),
    *(
        "CONTRACTING",
        "CONVOLUTIONS",
        "COPYING",
        "CUTTING",
        "DRAWING",
        "ENSEMBLES",
        "EXPERTS",
        "FRAMED",
        "LIKE_CONVOLUTIONS",
        "FUNCTIONS_OF_SIZES",
        "SELECTING",
        "STORING",
        "UNORDERED",
    ),
    *(
        "IMPURE",
        "INFERRED_AS_RUN",
        "JOINING",
        "LOOPS",
        "MEASURING",
        "MICROSOFT",
        "MISREAD_BEFORE",
        "MOVING",
        "MOVING_SIZES",
        "NORMS",
        "POINTWISE",
        "POOLS",
        "POWERS",
        "PRODUCTS",
    ),
    *("QUANTISING", "RECURRENT", "REDUCING", "RESHAPING", "SKIP_NORMS", "SOFTMAX", "STANDARD", "VECTOR_BIASED"),
    *("TRANSFORMS", "WEIGHTED", "is_one_of", "is_standard"),
]

STANDARD = frozenset({"", "ai.onnx"})  # domains of ONNX itself

# Of computing each element of a result from the elements at its own place, operands being broadcast
COPYING = frozenset({"Identity", "Cast"})
# With constants these leave a linear function linear: no activation function.
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})
AFFINE = COPYING | ARITHMETIC | {"Neg", "Dropout"}
COMPARING = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
LOGICAL = frozenset({"And", "Or", "Xor", "Not", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"})
# Their second operand has one dimension, along the last of the first.
VECTOR_BIASED = frozenset({"BiasGelu", "FastGelu"})
ACTIVATIONS = VECTOR_BIASED | {"Celu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu"}
ACTIVATIONS |= {"QuickGelu", "Relu", "Selu", "Shrink", "Sigmoid", "Softplus", "Softsign", "Swish", "ThresholdedRelu"}
FUSED_ACTIVATIONS = frozenset({"Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"})  # kernels apply them
TRIGONOMETRIC = frozenset({"Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Sin", "Sinh", "Tan"})
POINTWISE = AFFINE | COMPARING | LOGICAL | ACTIVATIONS | TRIGONOMETRIC
POINTWISE |= {"Abs", "Ceil", "Clip", "Erf", "Exp", "Floor", "IsInf", "IsNaN", "Log", "Max", "Mean", "Min", "Mod", "Pow"}
POINTWISE |= {"Reciprocal", "Round", "Sign", "Sqrt", "Sum", "Tanh", "Where"}
QUANTISING = frozenset({"QuantizeLinear", "DequantizeLinear"})  # in one scale, or one for each index of an axis
ROUNDING = frozenset({"DynamicQuantizeLinear", "QuantizeLinear"})  # make integers of numbers
INTEGER_PRODUCTS = frozenset({"DynamicQuantizeLinear", "MatMulInteger", "QLinearMatMul"})  # in products of integers
INTEGER_CONVOLUTIONS = frozenset({"ConvInteger", "QLinearConv"})
BOUNDED = frozenset({"Add", "Sub", "Mul", "Neg", "Relu", "Tanh", "Sigmoid", "Max", "Min"})  # by operands' bounds alone
ADDING = frozenset({"Add", "Sum", "Identity"})

# Of moving elements
MOVES_WHOLE = frozenset({"Identity", "Squeeze", "Transpose", "Unsqueeze"})  # every element once
RESHAPING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})  # elements stay in the order of memory
MOVING = frozenset({"Concat", "Expand", "Gather", "Slice", "Split", "Transpose"})
CUTTING = frozenset({"Slice", "Gather", "Split", "Squeeze"})  # a piece out of one value
STORING = COPYING | {"Constant", "Reshape", "Transpose"}  # what exporters put between a weight and its reader

# Of results that depend on all elements along some axes
SOFTMAX = frozenset({"Softmax", "LogSoftmax"})
NORMS = frozenset({"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"})
SKIP_NORMS = frozenset({"SkipLayerNormalization", "SkipSimplifiedLayerNormalization"})
SUMS_OF_SIZES = frozenset({"ReduceL1", "ReduceL2", "ReduceSumSquare"})  # of what has no sign
ADDING_UP = SUMS_OF_SIZES | {"ReduceSum"}  # zeros add nothing to these
REDUCING = frozenset({"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"})
REDUCING |= {"ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"}
WEIGHTED = frozenset({"Gemm", "FusedGemm"})  # a product and the addition of a third operand
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
TRANSFORMS = frozenset({"DFT", "STFT"})  # of Fourier, of results with real and imaginary parts
LIKE_CONVOLUTIONS = CONVOLUTIONS | TRANSFORMS | {"Clip"}  # may become one, or part of one
SIGNAL_MOVING = MOVES_WHOLE | {"Cast", "Pad", "Reshape", "Slice"}  # what stands between a signal and its frames
SIGNAL_JOINING = frozenset({"Concat", "ScatterElements", "Where"})  # pieces of signals
FRAMED = frozenset({"Conv", "STFT"})  # may multiply frames of a signal by a constant
POWERS = frozenset({"ReduceL2", "ReduceSumSquare"})  # sum squares
POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
BIASED = WEIGHTED | CONVOLUTIONS  # their third operand is added to the product
PRODUCTS = WEIGHTED | {"MatMul", "FusedMatMul", "Einsum"}
RECURRENT = frozenset({"RNN", "GRU", "LSTM"})
CONTRACTING = PRODUCTS | RECURRENT | {"Conv"}  # what branches of a graph multiply by weights with
NO_TRANSPOSE_PASSES = CONVOLUTIONS | {"Gemm", "MatMul", "RNN", "GRU", "LSTM"}  # when ONNX Runtime moves them
ATTENTION = frozenset({"Attention", "GroupQueryAttention", "MultiHeadAttention"})
EXPERTS = frozenset({"MoE", "QMoE"})  # of com.microsoft

SELECTING = frozenset({"MatMul", "Gemm", "Gather", "GatherElements"})  # ways to pick features
ENSEMBLES = frozenset({"TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble"})  # of ai.onnx.ml
UNORDERED = frozenset({"Add", "Concat", "Max", "Mean", "Min", "Mul", "Sum"})  # joins in which any place is as good
JOINING = POINTWISE | QUANTISING | {"Concat", "MatMul"}  # may find features in any operand
# Operators that can be computed for one block of features alone: `passes` has an emitter for each.
BLOCKWISE = JOINING | RESHAPING | MOVING | SOFTMAX | NORMS | REDUCING

# Of what they read and whether they are functions of it
MEASURING = frozenset({"Shape", "Size"})  # read no element
# What exporters compute sizes by.
ARITHMETIC_OF_SIZES = frozenset({"Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Cast", "Identity", "ReduceProd"})
ARITHMETIC_OF_SIZES |= {"Concat", "Gather", "Slice", "Reshape", "Squeeze", "Unsqueeze"}
MOVING_SIZES = frozenset({"Concat", "Gather", "Identity", "Slice", "Squeeze", "Unsqueeze"})  # and compute nothing
# What else is computed from sizes: positions, targets of Expand, scales of attention.
FUNCTIONS_OF_SIZES = ARITHMETIC_OF_SIZES | COMPARING | {"Abs", "And", "Ceil", "ConstantOfShape", "Expand", "Floor"}
FUNCTIONS_OF_SIZES |= {"Neg", "Not", "Or", "Range", "Sqrt", "Tile", "Transpose", "Where"}
# Operands by which ONNX Runtime's kernels for CUDA learn sizes, on the CPU.
READ_ON_CPU: dict[str, Collection[int]] = {
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze", "Split", "TopK", "Trilu", "CumSum"), (1,)),
    **dict.fromkeys(REDUCING, (1,)),
    **dict.fromkeys(("Slice", "Resize", "Pad"), range(1, 5)),
    "OneHot": (1,),
    "Upsample": (1,),
    "ConstantOfShape": (0,),
    "Range": range(3),
}
# What they compute whole shapes by.
OF_SIZES = ARITHMETIC_OF_SIZES | {"ConstantOfShape", "Equal", "Shape", "Where"}
# Of whose results ONNX infers the extents that ONNX Runtime makes, with what `passes.rewrite.static.believed` asks.
INFERRED_AS_RUN = POINTWISE | SOFTMAX | REDUCING | QUANTISING | RESHAPING | MOVING | MEASURING | WEIGHTED | RECURRENT
INFERRED_AS_RUN |= POOLS | CONVOLUTIONS | {"ArgMax", "ArgMin", "BatchNormalization", "Col2Im", "Compress", "Constant"}
INFERRED_AS_RUN |= {"ConstantOfShape", "ConvInteger", "CumSum", "DFT", "DepthToSpace", "DynamicQuantizeLinear"}
INFERRED_AS_RUN |= {"Einsum", "EyeLike", "GatherElements", "GatherND", "GlobalAveragePool", "GlobalLpPool"}
INFERRED_AS_RUN |= {"GlobalMaxPool", "GridSample", "HannWindow", "Hardmax"}
INFERRED_AS_RUN |= {"InstanceNormalization", "LRN", "LayerNormalization", "LpNormalization", "MatMul", "MatMulInteger"}
INFERRED_AS_RUN |= {"OneHot", "Pad", "QLinearConv", "QLinearMatMul", "Range", "Resize", "ReverseSequence"}
INFERRED_AS_RUN |= {"STFT", "ScatterElements", "ScatterND", "SpaceToDepth", "Tile", "TopK", "Trilu"}
INFERRED_AS_RUN |= {"Upsample"}
DRAWING = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"})
DRAWING |= {"RandomUniformLike"}  # random numbers, from an attribute `seed` that is a float
LOOPS = frozenset({"Loop", "Scan"})
CONTROL_FLOW = LOOPS | {"If"}
SIZED_BY_DATA = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})  # how much they find is not known
# Never folded. ONNX's reference implementation ignores some attributes of the recurrent ones.
IMPURE = DRAWING | LOOPS | RECURRENT | {"Dropout", "If", "SequenceMap", "Optional"}
# Operator sets before which, if not in all of them, ONNX's reference implementation computes an operator wrongly: a
# softmax along all axes behind one, norms by what is stored, and what reads windows.
MISREAD_BEFORE = {**dict.fromkeys(("LogSoftmax", "Softmax"), 13), "BatchNormalization": 14}
MISREAD_BEFORE |= dict.fromkeys((*POOLS, "ConvTranspose", "GlobalMaxPool"), 1 << 30)

# Operators of ONNX Runtime's own domain that are understood, those of its fusions first; some of them it also writes
# into the default domain. Others there may share a name with one of ONNX and compute something else.
MICROSOFT = (
    VECTOR_BIASED | SKIP_NORMS | {"QuickGelu", "Gelu", "FusedMatMul", "FusedGemm"} | QUANTISING | {"MatMulNBits"}
)


def is_standard(node: ir.Node) -> bool:
    """Whether a node is an operator of ONNX."""
    return node.domain in STANDARD


def is_one_of(node: ir.Node, operators: Container[str]) -> bool:
    """Whether a node is one of some operators of ONNX or ONNX Runtime.

    >>> is_one_of(ir.Node("com.microsoft", "FastGelu", []), POINTWISE)
    True
    >>> is_one_of(ir.Node("com.microsoft", "Relu", []), POINTWISE)
    False
    """
    known = node.domain in STANDARD or (node.domain == "com.microsoft" and node.op_type in MICROSOFT)
    return known and node.op_type in operators
