"""What may stand where a file is expected, and is none that can be read."""

import os
import socket
import stat
from pathlib import Path

LONG = 3 << 30  # bytes of a sparse file

FORMS = ("pipe", "socket", "folder", "device", "sparse", "dangling", "loop")


def strange(form, path):
    """Put one at `path`; a device is linked, since making one takes rights."""
    if form == "pipe":
        os.mkfifo(path)
    elif form == "socket":
        home = Path.cwd()
        os.chdir(path.parent)  # the name of a socket may have 107 bytes
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(home)
    elif form == "folder":
        path.mkdir()
    elif form == "device":
        path.symlink_to("/dev/zero")
    elif form == "sparse":
        with path.open("wb") as file:
            file.truncate(LONG)
    elif form == "dangling":
        path.symlink_to("nowhere")
    else:
        path.symlink_to(path.name)
    return path


def known(path):
    """What it is, to be compared with what it is afterwards."""
    found = path.lstat()
    return found.st_ino, stat.S_IFMT(found.st_mode), found.st_size
