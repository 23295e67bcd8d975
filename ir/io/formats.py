"""Files that are taken for ONNX models and are something else, and what to do with each."""

from __future__ import annotations

__all__ = ["HEAD", "other_format"]

HEAD = 1024  # bytes that tell

PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
}


def other_format(head: bytes, name: str) -> str:
    """What a file is whose first bytes these are, and what makes a model of it; '' when it may well be one.

    >>> other_format(bytes([31, 139, 8, 0]), "m.onnx.gz")
    'is packed with gzip; unpack it with gunzip and give the .onnx file'
    """
    for magic, (packer, unpacker) in PACKED.items():
        if head.startswith(magic):
            return f"is packed with {packer}; unpack it with {unpacker} and give the .onnx file"
    if head.startswith(b"PK\x03\x04"):
        return "is a ZIP archive, such as a PyTorch checkpoint; unpack it, or export the model to ONNX"
    if head[4:8] == b"ORTM":
        return "is a model in ONNX Runtime's own format; give the .onnx file that it was made from"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model; convert it with tf2onnx and give the .onnx file"
    if head.startswith(b"version https://git-lfs.github.com/"):
        return "is a pointer of Git LFS and not the file itself; fetch it with git lfs pull"
    text = _text_format(head.lstrip())
    if not text:
        return ""
    target = (name.rsplit(".", 1)[0] if "." in name else name) + ".onnx"
    convert = f"import onnx; onnx.save(onnx.load({name!r}, format={text!r}), {target!r})"
    return f'is a model in the text format {text!r}; convert it first: python -c "{convert}"'


def _text_format(text: bytes) -> str:
    """The name that onnx has for a text format, '' when it is none: fields come in any order, comments before them."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith((b"#", b"//"))]
    text = b"\n".join(lines).lstrip()
    if text.startswith(b"<") and b"ir_version" in text:
        return "onnxtxt"
    if text.startswith(b"{") and text[1:].lstrip().startswith(b'"'):
        return "json"
    fields = (b"ir_version", b"opset_import", b"producer_name", b"producer_version", b"domain", b"graph", b"doc_string")
    if any(text.startswith(field) and text[len(field) :].lstrip()[:1] in (b":", b"{") for field in fields):
        return "textproto"
    return ""
