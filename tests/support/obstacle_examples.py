"""Examples that tests of `obstacle` share with others."""

TAKE_NO_RESIDUAL = (
    "gemm-left",
    "transA",
    "left-2",
    "left-3",
    "fused-matmul-left",
    "conv",
    "relu",
    "bkhw",
    "dequantize",
    "stack",
)
