"""What is said for a folder reaches each model that has it, and a name of none of them is one clear error."""

from pathlib import Path

import onnx
import pytest
from exports import EXPORTS

import scission
from scission.runtime.hub.shared_inputs import shared_inputs
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.trials import Trials
from scission.runtime.pipeline.options import PlanOptions, agreed

NAMES = [Path("decoder.onnx"), Path("encoder.onnx")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models that share the sizes of a batch, of which only the first has a cache."""
    path = tmp_path_factory.mktemp("models")
    onnx.save(EXPORTS["decoder with past"](), path / "decoder.onnx")
    onnx.save(EXPORTS["encoder"](), path / "encoder.onnx")
    return path


def shared(folder, options=None, **trials):
    return shared_inputs(folder, NAMES, *agreed(options or PlanOptions(), Trials(**trials)))


def test_each_model_is_told_what_it_has(folder):
    said = {"sizes": {"batch_size": 3, "past_sequence_length": 2}, "values": {"position_ids": 1}}
    decoder, encoder = shared(folder, **said, ranges={"token_type_ids": (0, 1)}, likes={"attention_mask": "ones"})
    assert decoder[1] == Trials(sizes=said["sizes"], values={"position_ids": (1,)}, likes={"attention_mask": "ones"})
    assert encoder[1] == Trials(
        sizes={"batch_size": 3}, ranges={"token_type_ids": (0, 1)}, likes={"attention_mask": "ones"}
    )
    assert decoder[0].sizes == said["sizes"] and encoder[0].sizes == {"batch_size": 3}


def test_sizes_for_good_are_shared_as_well(folder):
    decoder, encoder = shared(folder, PlanOptions(fix={"past_sequence_length": 2}))
    assert decoder[0].fix == {"past_sequence_length": 2} and not encoder[0].fix and not encoder[1].sizes


def test_where_nothing_is_said_nothing_changes(folder):
    plain = agreed(PlanOptions(threads=1), None)
    assert shared_inputs(folder, NAMES, *plain) == [plain, plain]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"values": {"past": 1}}, "of none of its 2 models an input is called 'past'; there is 'attention_mask', "),
        ({"sizes": {"past": 1}}, "of none of its 2 models an input has an open dimension called 'past'; there is "),
    ],
)
def test_a_name_of_none_of_them_is_refused(folder, tmp_path, said, why):
    with pytest.raises(InputError, match=f"{folder}: {why}"):
        shared(folder, **said)
    with pytest.raises(InputError, match=why):
        scission.optimize_folder(folder, tmp_path / "out", trials=Trials(**said))
    assert not [*tmp_path.iterdir()]


def test_a_folder_is_optimised_with_a_size_of_one_of_its_models(folder, tmp_path):
    trials = Trials(sizes={"past_sequence_length": 2}, seconds=0.02)
    found = scission.optimize_folder(folder, tmp_path / "out", force=True, bench=False, trials=trials)
    assert found.ok and len(found.results) == 2
