import bz2
import gzip
import lzma
import subprocess
import sys

import numpy as np
import onnx
import pytest
from reference import product, write

from scission.ir.errors import ModelError
from scission.ir.io.formats import other_format
from scission.ir.io.load import load

PROTO = product(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ("pack", "word"), [(gzip.compress, "gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")]
)
def test_a_packed_model_is_refused_with_what_unpacks_it(pack, word, tmp_path):
    path = tmp_path / "m.onnx.gz"
    path.write_bytes(pack(PROTO.SerializeToString()))
    for source in (path, path.read_bytes()):
        with pytest.raises(ModelError, match=f"unpack it with {word} ") as caught:
            load(source)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["onnxtxt", "textproto", "json"])
def test_a_model_in_a_text_format_is_refused_with_a_command_that_converts_it(text, tmp_path):
    path = tmp_path / f"m.{text}"
    onnx.save(PROTO, path, format=text)
    with pytest.raises(ModelError, match=f"text format '{text}'") as caught:
        load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "\n" not in said
    command = said.split('python -c "')[1].removesuffix('"')
    subprocess.run([sys.executable, "-c", command], check=True)
    assert load(tmp_path / "m.onnx").graph.graph[0].op_type == "MatMul"


def test_a_model_is_no_other_format(tmp_path):
    assert other_format(PROTO.SerializeToString(), "m.onnx") == ""
    assert other_format(b"", "m.onnx") == ""
    load(write(tmp_path / "m.onnx", PROTO))


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"\0\0\0\0ORTM", "ONNX Runtime's own"),
        (b"\x1c\0\0\0TFL3", "tf2onnx"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x28\xb5\x2f\xfd", "unzstd"),
    ],
)
def test_other_files_are_told_by_how_they_begin(head, word):
    assert word in other_format(head + bytes(100), "m.onnx")
