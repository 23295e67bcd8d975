import itertools

import numpy as np
from digraphs import EXAMPLE, digraph
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.connectivity.digraph.structure import structure
from scission.runtime.render.picture.condensation_layout import lay_out

GRAPHS = st.builds(
    lambda seed, n: digraph(np.random.default_rng(seed), n), st.integers(0, 2**32 - 1), st.integers(0, 25)
)


@given(GRAPHS, st.booleans())
def test_everything_has_its_place_and_nothing_overlaps(A, named):
    found = structure(A)
    drawing = lay_out(found, named)
    assert sorted(state for box in drawing.boxes for state in box.states) == list(range(len(A)))
    for a, b in itertools.combinations(drawing.boxes, 2):
        apart = a.x + a.width < b.x or b.x + b.width < a.x or a.y + a.height < b.y or b.y + b.height < a.y
        assert apart, (a, b)
    layers = {span.index: span for span in drawing.layers}
    columns = {span.index: span for span in drawing.components}
    for box in drawing.boxes:
        alone = box.scc < 0
        column = columns[-1 if alone else int(found.component[box.states[0]])]
        assert column.start - 1e-9 <= box.x and box.x + box.width <= column.end + 1e-9
        assert box.x >= 0 and box.x + box.width <= drawing.width + 1e-9 and box.y + box.height <= drawing.height + 1e-9
        layer = layers[0 if alone else int(found.layer[box.states[0]])]
        assert box.y == layer.start and (alone or box.y + box.height <= layer.end + 1e-9)
        for _, (x, y) in box.places():
            assert box.x < x < box.x + box.width and box.y < y < box.y + box.height


@given(GRAPHS)
def test_arrows_lead_down_from_box_to_box(A):
    found = structure(A)
    drawing = lay_out(found)
    boxes = {box.scc: box for box in drawing.boxes}
    assert sorted((a.target, a.source) for a in drawing.arrows) == sorted(map(tuple, found.couplings().tolist()))
    for arrow in drawing.arrows:
        (x0, y0), _, (x1, y1) = arrow.points
        source, target = boxes[arrow.source], boxes[arrow.target]
        assert source.x < x0 < source.x + source.width and y0 == source.y + source.height
        assert target.x < x1 < target.x + target.width and y1 == target.y and y0 < y1


def test_the_worked_example_is_figure_a2():
    drawing = lay_out(structure(EXAMPLE))
    assert [span.index for span in drawing.components] == [0, 1, 2, 3] and len(drawing.layers) == 3
    assert len(drawing.boxes) == 9 and len(drawing.arrows) == 6
    (bent,) = [arrow for arrow in drawing.arrows if (arrow.source, arrow.target) == (0, 5)]
    others = [box for box in drawing.boxes if box.scc not in (0, 5)]
    a, b, c = map(np.array, bent.points)
    for t in np.linspace(0, 1, 200):  # the long edge goes around SCC 2
        point = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        assert not any(box.x < point[0] < box.x + box.width and box.y < point[1] < box.y + box.height for box in others)


def test_isolated_states_share_a_column_when_there_are_several():
    A = np.zeros((6, 6))
    assert [box.states for box in lay_out(structure(A)).boxes] == [(0, 1, 2, 3, 4, 5)]
    A[0, 1] = A[1, 0] = A[2, 3] = A[3, 2] = A[4, 4] = 1
    drawing = lay_out(structure(A))
    assert [span.index for span in drawing.components] == [0, 1, 2, 3] and all(box.scc >= 0 for box in drawing.boxes)
