"""What is wrong with a command line is one line, like every other error."""

import sys

import pytest

from scission.runtime.cli.app import main

LINES = [  # what is typed, and all that is said
    ("plan m.onnx --provider tpu", "--provider: 'tpu' is none of auto, cpu, cuda"),
    ("plan m.onnx --batch 0", "--batch/--rows: 0 is not at least 1"),
    ("plan m.onnx --batch -1", "--batch/--rows: -1 is not at least 1"),
    ("plan m.onnx --batch 1000000000000", "--batch/--rows: 1000000000000 is not at most 999999999999"),
    (f"plan m.onnx --granularity {10**30}", f"--granularity: {10**30} is not at most 999999999999"),
    (f"plan m.onnx --parts {10**30}", f"--parts: {10**30} is not at most 999999999999"),
    (f"plan m.onnx --size n={10**12}", f"--size: 'n={10**12}' is not NAME=N with N from 1 to 999999999999"),
    ("bench a b --seconds inf", "--seconds: inf is not from 0.01 to 86400"),
    ("bench a b --seconds 1e308", "--seconds: 1e+308 is not from 0.01 to 86400"),
    ("bench a b --seconds -1", "--seconds: -1.0 is not from 0.01 to 86400"),
    ("bench a b --seconds nan", "seconds must be a number from 0.01 to 86400, got nan"),
    ("plan m.onnx --threads 2000", "--threads: 2000 is not from 1 to 1024"),
    ("plan m.onnx --threads x", "--threads: 'x' is no whole number"),
    ("check a b --rtol x", "--rtol: 'x' is no number"),
    ("plan m.onnx --batch", "--batch needs a value"),
    ("plan m.onnx --forc", "there is no option --forc; perhaps --factors, --force, --forests"),
    ("plan m.onnx --zzzzzz", "there is no option --zzzzzz; see `scission plan --help`"),
    ("plan m.onnx extra", "there is no argument for extra; see `scission plan --help`"),
    ("plan", "IN is missing, the model, an .onnx file; see `scission plan --help`"),
    ("report m.onnx", "--output is missing, where the page goes; see `scission report --help`"),
    ("inspekt", "no such command 'inspekt'; perhaps 'inspect'; see `scission --help`"),
    ("nonsense", "no such command 'nonsense'; see `scission --help`"),
    ("cache nonsense", "no such command 'nonsense'; see `scission cache --help`"),
    ("optimize m.onnx o.onnx --veto 1", "--veto says how to anneal; give --anneal METHOD as well"),
    (
        "optimize m.onnx o.onnx --labels y",
        "--labels says by what annealing is judged, and nothing is annealed; give --anneal METHOD",
    ),
    (
        "optimize m.onnx o.onnx --max-drop y",
        "--max-drop says by what annealing is judged, and nothing is annealed; give --anneal METHOD",
    ),
]


@pytest.mark.parametrize(("line", "message"), LINES)
def test_a_mistake_is_one_line_and_status_2(line, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scission", *line.split()])
    with pytest.raises(SystemExit) as stopped:
        main()
    out, err = capsys.readouterr()
    assert (stopped.value.code, out, err) == (2, "", f"error: {message}\n")


def test_nothing_typed_shows_the_help(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scission"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and "error" not in capsys.readouterr().err
