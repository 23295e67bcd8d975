import numpy as np
import pytest
import torch
from digraphs import KINDS, digraph, on_cuda
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.connectivity import boolean
from scission.passes.connectivity import closure as module
from scission.passes.connectivity.closure import closure
from scission.passes.connectivity.edges import relate

ARITHMETICS = ("fp8", "int8", "bf16", "fp16", "float32")
GRAPHS = st.builds(
    lambda seed, n, kind: digraph(np.random.default_rng(seed), n, kind),
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.sampled_from(KINDS),
)


def warshall(A):
    """Transitive closure, one middle state after another (Warshall 1962)."""
    R = A.copy()
    for k in range(len(A)):
        R |= R[:, k : k + 1] & R[k : k + 1]
    return R


@given(GRAPHS, st.sampled_from(ARITHMETICS))
def test_closures_are_warshalls(A, arithmetic):
    R = warshall(A)
    plain = closure(A, reflexive=False, arithmetic=arithmetic, device="cpu")
    assert plain.dtype == torch.bool and (plain.numpy() == R).all()
    assert (closure(A, arithmetic=arithmetic, device="cpu").numpy() == R | np.eye(len(A), dtype=bool)).all()


@given(GRAPHS, st.integers(0, 2**32 - 1))
def test_closure_is_reflexive_idempotent_and_monotone(A, seed):
    R = closure(A, device="cpu")
    assert R.diagonal().all() and torch.equal(closure(R), R) and torch.equal(boolean.multiply(R, R), R)
    less = A & (np.random.default_rng(seed).random(A.shape) < 0.7)
    assert not (closure(less, device="cpu") & ~R).any()


def test_many_matrices_at_once():
    rng = np.random.default_rng(0)
    batch = np.stack([[digraph(rng, 17) for _ in range(3)] for _ in range(2)])
    for reflexive in (True, False):
        found = closure(batch, reflexive=reflexive, device="cpu").numpy()
        for at in np.ndindex(2, 3):
            assert (found[at] == closure(batch[at], reflexive=reflexive, device="cpu").numpy()).all()


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_panels_change_nothing(monkeypatch, arithmetic):
    A = digraph(np.random.default_rng(1), 150, "random", 0.012)
    want = [closure(A, reflexive=r, arithmetic=arithmetic, device="cpu") for r in (True, False)]
    monkeypatch.setattr(boolean, "PANEL", 1)
    for reflexive, whole in zip((True, False), want, strict=True):
        assert torch.equal(closure(A, reflexive=reflexive, arithmetic=arithmetic, device="cpu"), whole)


@pytest.mark.parametrize(("n", "most"), [(2, 1), (3, 1), (4, 2), (5, 2), (129, 7), (130, 8)])
def test_a_long_path_takes_logarithmically_many_squarings(monkeypatch, n, most):
    real, taken = module._square, []
    monkeypatch.setattr(module, "_square", lambda *given: taken.append(1) or real(*given))
    assert int(closure(np.eye(n, k=-1), device="cpu").sum()) == n * (n + 1) // 2
    assert len(taken) == most


def test_squaring_stops_as_soon_as_it_adds_nothing(monkeypatch):
    real, taken = module._square, []
    monkeypatch.setattr(module, "_square", lambda *given: taken.append(1) or real(*given))
    closure(np.eye(100), device="cpu")
    assert len(taken) == 1  # the first already adds nothing
    taken.clear()
    closure(np.ones((100, 100)), device="cpu")
    assert not taken  # full from the start
    closure(np.random.default_rng(0).random((100, 100)) < 0.5, device="cpu")
    assert len(taken) == 1  # full after one


def test_the_argument_is_left_alone_and_relations_are_taken():
    A = torch.eye(5, dtype=torch.bool).roll(1, 0)
    before = A.clone()
    assert closure(A).all() and torch.equal(A, before)
    assert torch.equal(closure(relate(A.numpy()), device="cpu"), closure(A))
    assert closure(torch.zeros(0, 0, dtype=torch.bool)).shape == (0, 0)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3)])
def test_only_square_matrices_have_a_closure(shape):
    with pytest.raises(ValueError, match="square matrices"):
        closure(np.ones(shape), device="cpu")


@on_cuda
@pytest.mark.parametrize("arithmetic", ("auto", *ARITHMETICS))
def test_cuda_closes_the_same(arithmetic):
    rng = np.random.default_rng(0)
    for n in (1, 5, 31, 32, 33, 300, 1000):
        A = digraph(rng, n, "random", 1.5 / n)
        for reflexive in (True, False):
            there = closure(A, reflexive=reflexive, arithmetic=arithmetic, device="cuda").cpu()
            assert torch.equal(there, closure(A, reflexive=reflexive, device="cpu"))


@on_cuda
@pytest.mark.parametrize("n", [2048, 8192])
def test_cuda_keeps_to_eight_bytes_an_entry(n):
    A = torch.rand(n, n, device="cuda") < 1 / n
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() - A.numel()
    closure(A)
    small = 64 << 20  # workspace of the matrix library
    assert torch.cuda.max_memory_allocated() - before <= 8 * A.numel() + small


def test_the_host_looks_one_squaring_behind(monkeypatch):
    """The watch of a CUDA device, with pretended events: it stops at the right count, one squaring late at most."""
    done = []

    class Event:
        def __init__(self):
            self.number = len(done)
            done.append(False)

        def record(self, stream):
            pass

        def query(self):
            return done[self.number]

        def synchronize(self):
            done[self.number] = True

    real_empty = torch.empty
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: real_empty(shape, dtype=dtype))
    for eager in (False, True):
        for last in ((False, False), (True, True)):  # nothing was added; everything is reached
            done.clear()
            watch = module._Watch(torch.device("cuda"))
            squarings = 0
            for found in ((True, False), (True, False), (True, False), last, last, last):
                watch.report(torch.tensor(found))
                if eager:
                    done[-1] = True
                if watch.stopped():
                    break
                squarings += 1
            assert squarings == (3 if eager else 4)


def most_held(work):
    """The most bytes that torch holds of what it allocates during some work."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = recorded.profiler.kineto_results.events()
    changes = [event.nbytes() for event in sorted(events, key=lambda e: e.start_ns()) if event.name() == "[memory]"]
    return max(np.cumsum(changes))


@pytest.mark.parametrize("arithmetic", ["fp8", "int8", "bf16"])
@pytest.mark.parametrize("density", [0.006, 0.5])
def test_no_more_than_eight_bytes_an_entry_are_held(arithmetic, density):
    """What torch allocates on a CPU is what it allocates on CUDA, its matrix library's workspace apart."""
    A = torch.rand(256, 256, generator=torch.Generator().manual_seed(0)) < density
    if arithmetic == "fp8":
        rows, one = A.to(torch.float8_e4m3fn), torch.ones(())
        alone = most_held(lambda: torch._scaled_mm(rows, rows.t(), one, one, out_dtype=torch.bfloat16))
        if alone > 2.5 * A.numel():  # the result takes two bytes an entry
            pytest.skip("this CPU has no fp8 units: torch unpacks both factors to float32")
    peak = A.numel() + most_held(lambda: closure(A, arithmetic=arithmetic))  # the argument is there already
    assert 3 < peak / A.numel() <= 8
