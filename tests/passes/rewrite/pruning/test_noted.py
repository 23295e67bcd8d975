import json

from prunable import residual

from scission.ir.io.load import load
from scission.ir.io.save import save
from scission.ir.provenance import DECOMPOSED
from scission.passes.diff.annotations import is_provenance
from scission.passes.rewrite.pruning.noted import noted


def test_a_note_is_kept_by_the_file_and_the_model_that_it_is_of_has_none(tmp_path):
    model = load(residual())
    made = noted(model.graph, {"method": "removal", "removed": [{"node": "down", "count": 3}]})
    save(model, made, tmp_path / "smaller.onnx")
    told = load(tmp_path / "smaller.onnx").graph.metadata_props[DECOMPOSED]
    assert json.loads(told)["removed"][0]["count"] == 3 and is_provenance(DECOMPOSED)
    assert DECOMPOSED not in model.graph.metadata_props
