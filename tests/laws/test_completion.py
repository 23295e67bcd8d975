"""Completion of commands, options, words and files in bash, zsh and fish: asked as their scripts ask, and by the shells
themselves where they are installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")
NAMED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the shell is named, not looked for among our parents
FOLDER = Path(sys.executable).parent


def run(*words, status=0, **environment):
    given = {**os.environ, "PATH": f"{FOLDER}{os.pathsep}{os.environ['PATH']}", **environment}
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300, env=given, check=False)
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
    return done.stdout


def completed(shell, line):
    """What a shell is told of the last word of a line."""
    asked = {"_SCISSION_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    asked |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_TYPER_COMPLETE_ARGS": line}
    return run("scission", **asked)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("scission opt", {"optimize"}),
        ("scission de", {"decompose"}),
        ("scission cache dr", {"drop"}),
        ("scission optimize --provid", {"--provider"}),
        ("scission check --provider c", {"cpu", "cuda"}),
        ("scission optimize --cuda-graph o", {"on", "off"}),
    ],
)
def test_what_can_follow_is_told(shell, line, words):
    told = completed(shell, line)
    for word in words:
        assert {"bash": word, "zsh": f'"{word}"', "fish": word}[shell] in told
    assert "dry-run" not in told and "explain" not in told


@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_left_to_the_shell(shell):
    assert completed(shell, "scission optimize mod").strip() in ("", "_files")
    assert completed(shell, "scission check --inputs fi").strip() in ("", "_files")


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_installed_for_each_shell(shell, tmp_path):
    script = run("scission", "--show-completion", shell, **NAMED)
    assert "_SCISSION_COMPLETE" in script and "scission" in script
    said = run("scission", "--install-completion", shell, HOME=str(tmp_path), **NAMED)
    (made,) = [path for path in tmp_path.rglob("*scission*") if path.is_file()]
    assert str(made) in said and made.read_text().strip() == script.strip()


def asked(shell, script, line):
    """A program for the shell that loads the script and prints what completes a line."""
    if shell == "bash":
        words, name = line.split(" "), "_scission_completion"
        given = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; {name} scission"
        return f'source {script}; {given}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    if shell == "fish":
        return f'source {script}; complete -C "{line}"'
    stand_in = f"function compdef {{ }}; function _arguments {{ print -r -- $@ }}; source {script}"
    words = " ".join(line.split(" "))
    return f"{stand_in}; words=({words}); CURRENT={len(line.split(' '))}; _scission_completion"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "word"), [("scission opt", "optimize"), ("scission check --provider cu", "cuda")])
def test_the_shell_itself_completes(shell, line, word, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / f"completion.{shell}"
    script.write_text(run("scission", "--show-completion", shell, **NAMED))
    assert word in run(shell, "-c", asked(shell, script, line), HOME=str(tmp_path))
