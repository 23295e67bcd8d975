import pytest

from scission.runtime.fields import chosen
from scission.runtime.pipeline.options import PlanOptions


def test_options_of_another_kind_are_refused_by_name():
    with pytest.raises(TypeError, match=r"options are wanted as PlanOptions, or field by field, not as dict"):
        chosen(PlanOptions, {"force": True}, {})
    assert chosen(PlanOptions, PlanOptions(force=True), {"force": False}) == PlanOptions()
