import numpy as np
import torch
from triton_here import DEVICE

from scission.passes.connectivity.tensor_cores.launching import Arrays, octets_of, operand_of, padded


def random(seed, *shape, density=0.1):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) < density).to(DEVICE)


def test_octets_lie_in_aligned_rows_and_are_copied_only_where_they_do_not():
    aligned = random(0, 20, 48)
    assert octets_of(aligned).data_ptr() == aligned.data_ptr()
    assert octets_of(aligned[4:9]).data_ptr() == aligned[4:9].data_ptr()
    for matrix in (aligned.t(), aligned[:, 1:33], random(0, 20, 47), aligned[:1].expand(20, 48)):
        octets = octets_of(matrix)
        assert octets.stride(0) % 16 == 0 and octets.data_ptr() % 16 == 0
        assert torch.equal(octets.view(torch.bool), matrix)


def test_arrays_tell_their_extents_and_whether_they_are_those_of_a_square():
    room = padded(20, 48, torch.device(DEVICE))
    plain = Arrays(room, padded(7, 48, room.device), padded(20, 7, room.device))
    assert plain.extents == (20, 7, 48) and not plain.squared
    assert Arrays(room, room, room, turned=room).squared


def test_eight_bits_are_floats_where_units_multiply_them(monkeypatch):
    assert operand_of(torch.device("cpu")) == "int8"
    for capability, operand in (((8, 0), "int8"), ((8, 9), "fp8"), ((9, 0), "fp8")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, told=capability: told)
        assert operand_of(torch.device("cuda", 0)) == operand
