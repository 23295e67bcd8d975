import os
import sys

import pytest
from flipping import flipping
from strange_files import FORMS, strange

import scission.ir.files.inside as inside
from scission.ir.files.inside import OutsideError, open_real, place_inside, real_path
from scission.ir.files.reading import DATA, UnreadableError

WAYS = [False, *([True] if inside.BY_STEPS else [])]


@pytest.fixture
def home(tmp_path):
    """A folder with a file in a folder, and a file outside."""
    (tmp_path / "home" / "deep").mkdir(parents=True)
    (tmp_path / "home" / "deep" / "it").write_bytes(b"mine")
    (tmp_path / "it").write_bytes(b"secret")
    return (tmp_path / "home").resolve()


def opened(path, folder):
    with open_real(place_inside(path, (folder,)), DATA) as file:
        return file.read()


@pytest.mark.parametrize("by_steps", WAYS)
def test_links_are_followed_that_stay_inside(home, by_steps, monkeypatch):
    monkeypatch.setattr(inside, "BY_STEPS", by_steps)
    (home / "link").symlink_to("deep/it")
    (home / "folder").symlink_to("deep")
    os.link(home / "deep" / "it", home / "hard")
    for name in ("deep/it", "link", "folder/it", "hard", "deep/../link", "../home/link"):
        assert opened(home / name, home) == b"mine"
    (home / "out").symlink_to("../it")
    (home / "away").symlink_to("..")
    for name in ("out", "away/it", "../it"):
        with pytest.raises(OutsideError):
            opened(home / name, home)


@pytest.mark.parametrize("by_steps", WAYS)
@pytest.mark.parametrize("form", FORMS)
def test_only_regular_files_are_opened(home, form, by_steps, monkeypatch):
    monkeypatch.setattr(inside, "BY_STEPS", by_steps)
    with pytest.raises(OSError, match=r"not a regular|No such|links|holes|outside"):
        opened(strange(form, home / "strange"), home)


@pytest.mark.parametrize("by_steps", WAYS)
@pytest.mark.parametrize("name", ["deep", "deep/it"])
def test_a_link_that_was_put_there_since_is_not_followed(home, name, by_steps, monkeypatch):
    monkeypatch.setattr(inside, "BY_STEPS", by_steps)
    real = place_inside(home / "deep" / "it", (home,))
    (home / name).rename(home / "moved")
    (home / name).symlink_to(home / "moved")
    with pytest.raises(UnreadableError, match="became a link"):
        open_real(real, DATA)


def test_what_is_not_there_is_said_as_it_is(home):
    with pytest.raises(FileNotFoundError):
        open_real(home / "none", DATA)
    with pytest.raises(NotADirectoryError):
        open_real(home / "deep" / "it" / "none", DATA)
    (home / "loop").symlink_to("loop")
    with pytest.raises(UnreadableError, match="loop of links"):
        real_path(home / "loop", strict=True)


@pytest.mark.parametrize("by_steps", WAYS)
@pytest.mark.parametrize("name", ["link", "folder/it"])
def test_no_flipped_link_leads_out(home, name, by_steps, monkeypatch):
    """A thread turns a link, or a folder on the way, around as fast as it can; what is read is never the other file."""
    monkeypatch.setattr(inside, "BY_STEPS", by_steps)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    first = home / name.partition("/")[0]
    leads = ("deep/it", "../it") if first.name == "link" else ("deep", "..")
    seen = set()
    try:
        first.symlink_to(leads[0])
        with flipping(first, *(lambda path, lead=lead: path.symlink_to(lead) for lead in leads)) as count:
            while count[0] < 400:
                try:
                    seen.add(opened(home / name, home))
                except OSError as error:
                    seen.add(type(error))
    finally:
        sys.setswitchinterval(before)
    assert b"secret" not in seen and seen & {b"mine", OutsideError, UnreadableError}
