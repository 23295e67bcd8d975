"""Whether anything runs a model: onnx's checker is asked first, and what it refuses is left to ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from ...ir.errors import ModelError, Remedy, option
from ...ir.io.load import Model, Source
from ...ir.io.validity import bare, foreign, objection
from ...ir.phase import phase
from .library import SessionError, require_libraries, runtime_version
from .messages import breaks_specification, lacks_kernel, lacks_locale, lacks_operator
from .session import ModelSource, open_session

__all__ = ["refusal", "require_valid"]


@phase("validate")
def require_valid(model: Model, source: Source, custom_ops: Sequence[Path] = ()) -> None:
    """Raise ModelError, naming file and node, for a model that neither onnx's checker nor ONNX Runtime takes.

    Raises SessionError for a library of custom operators that is none, whether or not the model needs it.
    """
    require_libraries(custom_ops)
    problem = refusal(model, source, custom_ops)
    if problem:
        raise ModelError(f"{model.name}: ", *problem)


def refusal(model: Model, source: Source, custom_ops: Sequence[Path] = ()) -> tuple[str | Remedy, ...]:
    """Why nothing runs a model, as the parts of an error; empty where the checker or ONNX Runtime takes it.

    source: where the model came from. ONNX Runtime sees the graph without its weights first, and the whole model only
    where it does not take that. Without the library of an operator that is not onnx's own nobody can tell, so such a
    model passes where nothing else is wrong. custom_ops: those libraries.
    """
    against = objection(model)
    if not against:
        return ()
    heard = _runtime(model, source, custom_ops)
    if not heard or lacks_kernel(heard):  # a valid graph, which another provider may run
        return ()
    unknown = lacks_operator(heard)
    if unknown and not custom_ops and foreign(model.graph) and not breaks_specification(against):
        return ()
    words = re.sub(r".*?(ONNX Runtime: |Load model from .* failed: ?)", "", heard).rstrip(".")
    words = re.sub(r"; load the library of this operator with .*", "", words)  # which is said in the end
    if lacks_locale(heard):  # what is missing is here, not in the model
        return (words,)
    said = f"{against}; ONNX Runtime refuses the model as well ({words}): "
    if not unknown:
        return (f"{said}export it again",)
    return said, "load the library of this operator with ", option("custom_ops"), ", or export the model again"


def _runtime(model: Model, source: Source, custom_ops: Sequence[Path]) -> str:
    """What ONNX Runtime has against a model; empty where it takes it, or is not there to be asked."""
    from .opened import as_file

    try:
        runtime_version()
    except SessionError:
        return ""
    options: dict[str, Any] = {"optimize": False, "threads": 1, "custom_ops": custom_ops}
    proto = bare(model)
    if proto is not None:
        try:
            open_session(ModelSource(proto.SerializeToString(), model.name), **options)
        except SessionError:
            pass  # some kernels want their weights to be constant
        else:
            return ""
    try:
        if isinstance(source, (bytes, onnx.ModelProto)):
            data = source if isinstance(source, bytes) else source.SerializeToString()
            open_session(ModelSource(data, model.name), **options)
        else:
            with as_file(source, "model") as (path, _):
                open_session(ModelSource(path, model.name), **options)
    except SessionError as error:
        return str(error)
    return ""
