from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scission.runtime.render.naming import LEAST, Naming, shortened

WORDS = st.text("abcdefghij_0123456789", min_size=1, max_size=14)
NAMES = st.lists(WORDS, min_size=1, max_size=7).map(lambda parts: "/" + "/".join(parts))


@given(st.text(max_size=80), st.integers(0, 90))
def test_both_ends_of_a_name_stay(name, width):
    short = shortened(name, width)
    assert len(short) <= max(width, LEAST)
    if len(name) > max(width, LEAST):
        head, _, tail = short.partition("…") if "…" not in name else (short[:1], "", short[-1:])
        assert head and tail and name.startswith(head) and name.endswith(tail)
    else:
        assert short == name


@settings(max_examples=60)
@given(st.lists(NAMES, min_size=2, max_size=8, unique=True), st.integers(LEAST, 60))
def test_names_below_one_another_fit(names, width):
    naming = Naming(names)
    assert all(len(naming.short(name, width)) <= width for name in names)
    assert all(naming.short(name, width) == name for name in names if len(name) <= width)


@given(st.integers(2, 30), st.integers(30, 60), WORDS, WORDS)
def test_what_tells_names_apart_is_kept(count, width, before, after):
    assume(len(before) + len(after) < 20)
    names = [f"/{before}/encoder/layers.{index}/self_attention/{after}/MatMul" for index in range(count)]
    naming = Naming(names)
    assert len({naming.short(name, width) for name in names}) == count


def test_a_long_end_that_all_have_in_common_leaves_room_for_what_differs():
    names = [f"/model/layers.{layer}/dense/weight_quantized_parameter" for layer in range(4)]
    naming = Naming(names)
    assert len({naming.short(name, 24) for name in names}) == 4
