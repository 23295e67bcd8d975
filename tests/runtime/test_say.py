from scission.runtime.say import say, say_lines

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
