import pytest

from scission.runtime.renamed import renamed


@renamed(rows="batch")
def asked(model, *, batch=None, other=0):
    return model, batch, other


def test_the_former_name_of_an_argument_is_understood():
    with pytest.warns(DeprecationWarning, match="'batch' now"):
        assert asked("m", rows=[3], other=1) == ("m", [3], 1)
    assert asked("m", batch=[4]) == ("m", [4], 0) and asked("m") == ("m", None, 0)


def test_both_names_at_once_are_refused():
    with pytest.raises(TypeError, match="both 'batch' and its former name 'rows'"):
        asked("m", rows=[3], batch=[4])
