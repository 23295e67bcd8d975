import logging

import pytest

from scission.ir.phase import phase, watching


def test_each_phase_is_logged_below_those_around_it_with_its_seconds(caplog):
    caplog.set_level(logging.INFO, "scission")
    with phase("plan"):
        with phase("weights"):
            pass
        with pytest.raises(KeyError), phase("regions"):
            raise KeyError
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in said] == ["plan / weights", "plan / regions", "plan"]
    assert all(text.endswith(" s") for text in said) and "failed after" in said[1] and "failed" not in said[2]


def test_it_decorates_functions_and_watchers_hear_of_it_only_inside():
    told = []

    @phase("twice")
    def double(x):
        return 2 * x

    with watching(told.append):
        assert double(double(1)) == 4
    assert double(3) == 6 and told == [("twice",), (), ("twice",), ()]


def test_nothing_is_said_without_being_asked(capfd):
    with phase("quiet"):
        pass
    assert capfd.readouterr() == ("", "")
