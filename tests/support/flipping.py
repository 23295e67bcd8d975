"""Names that lead somewhere else every moment, for as long as something reads by them."""

import threading
from contextlib import contextmanager


@contextmanager
def flipping(path, *ways):
    """While the context lasts a thread makes `path` one way after the other, each at once; how often, as a list.

    ways: functions that make what is to stand there, at a path that they are given.
    """
    count, ended = [0], threading.Event()

    def flip():
        while not ended.is_set():
            for way in ways:
                spare = path.with_name(f"{path.name}.next")
                way(spare)
                spare.replace(path)
                count[0] += 1

    thread = threading.Thread(target=flip, daemon=True)
    thread.start()
    try:
        yield count
    finally:
        ended.set()
        thread.join()
