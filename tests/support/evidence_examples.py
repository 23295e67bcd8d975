"""Examples that tests of `evidence` share with others."""

from hypothesis import strategies as st

from scission.ir.evidence.evidence import Certificate, Evidence, Fit
from scission.ir.evidence.null import Null

texts = st.text(max_size=8)


numbers = st.floats(allow_nan=False, allow_infinity=False)


counts = st.integers(0, 10**12)


nulls = st.builds(
    Null,
    family=st.sampled_from(["normal", "uniform"]),
    scale=st.floats(1e-6, 1e6),
    source=texts,
    estimated=st.booleans(),
)


rows = st.lists(numbers, max_size=3).map(tuple)


fits = st.builds(Fit, ks=numbers, share=numbers, ratio=numbers, at=rows, observed=rows, expected=rows)


certificates = st.builds(
    Certificate,
    **dict.fromkeys(("split", "level", "ratio", "largest", "homogeneity", "misplaced", "mean", "shape"), numbers),
    coherence=numbers,
    blocks=counts,
    residual=counts,
    accepted=st.booleans(),
    reason=texts,
)


evidences = st.builds(
    Evidence,
    test=texts.filter(bool),
    level=numbers,
    correction=texts.filter(bool),
    confirmed=numbers,
    null=st.none() | nulls,
    **{name: st.none() | numbers for name in ("per_edge", "expected_false", "bandwidth", "smallest")},
    classes=st.none() | st.tuples(counts, counts, counts),
    power=texts,
    fit=st.none() | fits,
    certificate=st.none() | certificates,
    notes=st.lists(texts, max_size=3).map(tuple),
)
