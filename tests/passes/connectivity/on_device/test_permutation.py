import numpy as np
import pytest
import torch
from digraphs import CUDA
from hypothesis import given
from hypothesis import strategies as st

from scission.models.matrix import weight
from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.on_device.permutation import as_components, permutation


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=5),
    dormant=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_features_are_sorted_by_isolation_component_and_place(device, sizes, dormant, seed):
    rng = np.random.default_rng(seed)
    W, _ = weight(rng, sizes, dormant)
    want = components(W)
    names = rng.permutation(want.count + 2)  # a device calls components by any members of theirs
    called = [np.where(labels < 0, -1, np.append(names, -1)[labels]) for labels in (want.inputs, want.outputs)]
    found = permutation(*(torch.tensor(one, device=device) for one in called), names.size)
    inputs, outputs, sizes_ = (tensor.cpu().numpy() for tensor in found.tensors())
    for order, labels in ((inputs, want.inputs), (outputs, want.outputs)):
        key = [(labels[i] < 0, labels[i], i) for i in range(labels.size)]
        assert order.tolist() == sorted(range(labels.size), key=key.__getitem__)
    got = as_components(inputs, outputs, sizes_, want.nonzeros)
    assert (got.count, got.nonzeros) == (want.count, want.nonzeros)
    np.testing.assert_array_equal(got.inputs, want.inputs)
    np.testing.assert_array_equal(got.outputs, want.outputs)


def test_the_blocks_lie_along_the_diagonal_in_the_order_of_the_device():
    W, truth = weight(np.random.default_rng(0), [(3, 2), (2, 4), (1, 1)], (2, 1))
    own = components(W)
    found = permutation(torch.tensor(own.inputs), torch.tensor(own.outputs), own.count)
    inside = np.zeros(W.shape, bool)
    k = n = 0
    for block in sorted(truth.blocks, key=lambda one: int(one.inputs[0])):
        K, N = block.shape
        inside[k : k + K, n : n + N] = True
        k, n = k + K, n + N
    np.testing.assert_array_equal(W[found.inputs.numpy()][:, found.outputs.numpy()] != 0, inside)
