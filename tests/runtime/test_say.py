import json

from scission.runtime.say import say, say_json, say_lines

EVIL = "a\x1b]0;OWNED\x07\r\x08\x00\x9b2J\u202e\nerror: \udcff"
SHOWN = r"a\x1b]0;OWNED\x07\r\x08\x00\x9b2J\u202e\nerror: \udcff"


def test_a_sentence_is_one_line_on_the_stream_that_is_asked_for(capfd):
    say(EVIL)
    say(EVIL, err=True)
    assert capfd.readouterr() == (f"{SHOWN}\n", f"{SHOWN}\n")


def test_a_document_keeps_its_lines_and_ends_with_one(capfd):
    for text in ("one\ntwo\x1b", "one\ntwo\x1b\n"):
        say_lines(text)
        assert capfd.readouterr() == ("one\ntwo\\x1b\n", "")


def test_json_is_one_line_whatever_names_there_are(capsys):
    told = {"path": EVIL}
    say_json(told, err=True)
    line = capsys.readouterr().err
    assert line.endswith("\n") and line.isascii() and line[:-1].isprintable() and json.loads(line) == told
