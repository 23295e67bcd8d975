"""Calls of a part elsewhere."""

import pytest

pytest.importorskip("ray")

import grpc

from scission.runtime.fleet.remote import Sent


class Handle:
    """Whose messages hold nothing; how it is called is kept."""

    def __init__(self, called=None, by_reference=False):
        self.called, self.by_reference = [] if called is None else called, by_reference

    def options(self, _by_reference):
        return Handle(self.called, _by_reference)

    def remote(self, fed):
        self.called.append(self.by_reference)
        return self

    def result(self, timeout_s):
        if not self.by_reference:
            code, nothing = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(code, nothing, nothing, "Received message larger than max")
        return {}, 1.0


def test_what_no_message_holds_goes_as_an_object_of_ray():
    handle = Handle()
    assert Sent("part0", handle, {}).wait() == ({}, 1.0)
    assert handle.called == [False, True]
