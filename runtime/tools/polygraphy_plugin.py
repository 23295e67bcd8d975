"""A plug-in of Polygraphy: `polygraphy run model.onnx --scission --onnxrt` compares a split model with the original."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from typing import Any

from polygraphy.tools.args import ModelArgs, OnnxLoadArgs
from polygraphy.tools.args import util as args_util
from polygraphy.tools.args.base import BaseRunnerArgs
from polygraphy.tools.script import make_invocable

from ...ir.staging.folder import temporary_folder
from ..pipeline.options import PlanOptions
from .proved import UNTIMED, proved

__all__ = ["ScissionRunnerArgs", "SplitOnnx", "arg_groups"]


class SplitOnnx:
    """A loader of Polygraphy that splits a model: called, it gives what ONNX Runtime opens, bytes or a path.

    model: a path, bytes, a ModelProto, or a loader that gives one of these; force: split whatever splits. The split
    model is proved equal before it is handed out. A path gives a path, in a folder that is there as long as the loader
    is. Raises SplitError where the split model differs, and what `scission.optimize` raises.
    """

    def __init__(self, model: Any, force: bool = False) -> None:
        self._model, self._options = model, PlanOptions(force=force)

    def __call__(self) -> Any:
        """The split model, or the same where nothing is gained."""
        model = self._model() if callable(self._model) else self._model
        if not isinstance(model, str | os.PathLike):
            return proved(model, self._options, UNTIMED).model
        held = ExitStack()
        path = held.enter_context(temporary_folder()) / "split.onnx"
        weakref.finalize(self, held.close)
        proved(model, self._options, UNTIMED, output=path)
        return str(path)


class ScissionRunnerArgs(BaseRunnerArgs):  # type: ignore[misc]
    """The option `--scission` of `polygraphy run`, and what belongs to it."""

    def get_name_opt_impl(self) -> tuple[str, str]:
        """What the runner is called, and its option."""
        return "ONNX-Runtime, the model split by scission", "scission"

    def add_parser_args_impl(self) -> None:
        """Add what belongs to the option."""
        told = "Split whatever splits, also where that is predicted to be slower"
        self.group.add_argument("--scission-force", help=told, action="store_true", default=None)

    def parse_impl(self, args: Any) -> None:
        """Read it."""
        self.force = bool(args_util.get(args, "scission_force"))

    def add_to_script_impl(self, script: Any) -> None:
        """Write the runner into the script that Polygraphy runs."""
        loading, model = self.arg_groups[OnnxLoadArgs], self.arg_groups[ModelArgs].path
        if loading.must_use_onnx_loader():
            model = loading.add_to_script(script, serialize_model=True)
        script.add_import(imports=["SplitOnnx"], frm=__name__)
        script.add_import(imports=["OnnxrtRunner", "SessionFromOnnx"], frm="polygraphy.backend.onnxrt")
        split = script.add_loader(make_invocable("SplitOnnx", model, force=self.force), "split_onnx")
        session = script.add_loader(make_invocable("SessionFromOnnx", split), "build_split_session")
        script.add_runner(make_invocable("OnnxrtRunner", session, name="scission"))


def arg_groups() -> list[BaseRunnerArgs]:
    """What the entry point in `polygraphy.run.plugins` gives."""
    return [ScissionRunnerArgs()]
