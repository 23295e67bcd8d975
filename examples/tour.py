"""A tour of one model as a notebook of marimo: `marimo edit examples/tour.py`, or `python examples/tour.py`."""

import marimo

app = marimo.App(app_title="scission: a tour")


@app.cell
def _():
    import marimo as mo
    import numpy as np

    import scission
    from scission.models.planted import ffn

    return ffn, mo, np, scission


@app.cell
def _(mo):
    mo.md("""
    # A tour of one model

    Eight independent networks hide in two weights, in no order that an eye could see.
    """)


@app.cell
def _(ffn, np):
    model = ffn.build(np.random.default_rng(0), d=128, hidden=512, blocks=8).model
    return (model,)


@app.cell
def _(model, scission):
    rows = scission.inspect(model)  # what every linear is like
    [(row.node, row.inputs, row.outputs, row.components, f"{row.blocks:.1%}") for row in rows]


@app.cell
def _(model, scission):
    plan = scission.plan(model, force=True)  # what would be done, and why; draws itself as a table
    plan
    return (plan,)


@app.cell
def _(model, plan, scission):
    split = scission.apply(model, plan)
    verdict = scission.check(model, split)  # both run on the same inputs, every output is compared
    verdict
    return split, verdict


@app.cell
def _(model, scission, split):
    changes = scission.diff(model, split)  # which nodes became which
    changes
    return (changes,)


@app.cell
def _(mo, verdict):
    assert verdict.equal
    mo.md(f"The two are {'the same function' if verdict.equal else 'different'}.")


if __name__ == "__main__":
    app.run()
