import io

from rich.console import Console

from scission.runtime.doctor.finding import Examination, Finding, State
from scission.runtime.doctor.shown import doctor_view


def shown(*findings, width=80):
    out = io.StringIO()
    Console(file=out, width=width).print(doctor_view(Examination(findings)))
    return out.getvalue().splitlines()


def test_what_is_amiss_stands_last_with_what_to_do():
    wrong = Finding(what="scipy", found="not installed", state=State.WRONG, advice="pip install scipy")
    lines = shown(wrong, Finding(what="numpy", found="2.0"))
    assert lines[-2:] == ["scipy: not installed; pip install scipy", "mend what is in red above"]


def test_what_is_absent_names_how_to_get_it_and_is_not_amiss():
    lines = shown(Finding(what="torch", found="not installed", state=State.ABSENT, advice="pip install torch"))
    assert any("not installed; pip install torch" in line for line in lines)
    assert lines[-1] == "everything that is needed is there"


def test_lines_fit_a_narrow_terminal():
    lines = shown(Finding(what="prices, CPU", found="a processor with a long name " * 8))
    assert max(map(len, lines)) <= 80
