"""The site of docs/, for laws about it."""

import pytest
from sites import built


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site as `make docs` builds it: where each of its files lies, by its name."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings_handlers.python")
    return built(tmp_path_factory.mktemp("site"))
