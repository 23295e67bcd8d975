import builtins

import pytest
from shell import typed

import scission


def test_a_port_is_named(cut):
    with pytest.raises(scission.OptionError, match="Ray takes no port that is any"):
        scission.serve_fleet(cut[1], serving=scission.ServeOptions(port=0))


def test_what_is_missing_is_named(cut, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == "ray" or name.endswith("fleet"):
            raise ImportError(name="ray")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(scission.ScissionError, match=r"pip install 'scission\[ray\]'"):
        scission.serve_fleet(cut[1])


def test_options_of_a_fleet_need_one(cut, monkeypatch, capfd):
    status, _, err = typed(monkeypatch, capfd)(f"serve {cut[1]} --replicas 3")
    assert status == 2 and "--ray" in err
