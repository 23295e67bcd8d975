"""Numbers of things in words."""

from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plural import and_more, once

NODES, TEXTS = st.sampled_from("abcdef"), st.sampled_from(["small", "dense", "done"])


@given(st.lists(st.tuples(NODES, TEXTS), max_size=9))
def test_each_text_comes_once_with_its_first_node_and_how_many_others(told):
    said = list(dict.fromkeys(text for _, text in told))
    often = {text: [node for node, other in told if other == text] for text in said}
    expected = [(and_more(often[text][0], len(often[text]) - 1), text) for text in said]
    assert once(told) == sorted(expected, key=lambda line: -len(often[line[1]]))
