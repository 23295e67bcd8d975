"""A device that is not there: copies are made as late as they may be, when somebody waits for them."""

import threading

import torch


class LateLink:
    """Copies wait in a queue until their event is waited for, here or on the pretended device.

    A buffer that is filled again too early is then copied with what it should not hold; most: the largest buffer.
    """

    def __init__(self):
        self._queue, self._done, self._lock = [], 0, threading.Lock()
        self.most, self.held = 0, 0

    def memory(self, size):
        with self._lock:
            self.most, self.held = max(self.most, size), self.held + size
        return torch.full((size,), 0xAA, dtype=torch.uint8)

    def room(self, size):
        return torch.full((size,), 0x55, dtype=torch.uint8)

    def copy(self, source, target):
        with self._lock:
            self._queue.append((source, target))
            return len(self._queue)

    def wait(self, event):
        with self._lock:
            while self._done < event:
                source, target = self._queue[self._done]
                target.copy_(source)
                self._done += 1

    def arrive(self, target, event):
        self.wait(event)
