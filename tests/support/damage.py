"""Damage of any kind to bytes, to JSON, and to the protos of a model: all of it drawn from a seed."""

import json
import random

import onnx
from google.protobuf.message import Message

EVIL = "a\x1b[2J\r\x9b1A\u202e\nerror: x\x00\t"  # a name that commands a terminal
NUMBERS = (0, 1, -1, 2, 7, 255, 1 << 16, 1 << 31, (1 << 31) - 1, (1 << 32) + 1, 10**9, (1 << 63) - 1, -(1 << 63))
WORDS = ("", "x", "y", "W", "MatMul", EVIL, "../../etc/passwd", "\u00e9" * 300, "Loop", "If", "ai.onnx.ml", "0", "nan")
DEEP = 9_000  # levels that JSON is nested


def damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    """A file with one to four kinds of damage."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(made) + 1), rng.randint(1, 16)
        kind = rng.randrange(7)
        if kind == 0 and made:
            made[at % len(made)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            made[at : at + size] = rng.randbytes(size)
        elif kind == 2:
            del made[at:]
        elif kind == 3:
            del made[at : at + size]
        elif kind == 4:
            made[at:at] = made[at : at + size * 8] * rng.randint(1, 4)
        elif kind == 5:
            made[at : at + 8] = rng.choice(NUMBERS).to_bytes(8, "little", signed=True)
        else:
            made[at : at + 1] = rng.choice((b"\0", b"\xff", b"\x80\x80\x80\x80\x80\x80\x80\x80\x7f", b"(" * 60, b"["))
    return bytes(made)


def damaged_json(rng: random.Random, text: str) -> str:
    """A JSON document with one to three places that hold something else, are gone, or are there twice."""
    data = json.loads(text)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(data))
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), holder[key])
        elif kind == 2:
            other = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[0][other[1]])) if _there(other) else None
        else:
            holder[key] = _value(rng, holder[key])
    made = json.dumps(data)
    if rng.random() < 0.05:
        return made.replace(":", ":" + "[" * DEEP, 1)
    return damaged_bytes(rng, made.encode()).decode(errors="replace") if rng.random() < 0.1 else made


def _there(place):
    holder, key = place
    return key in holder if isinstance(holder, dict) else key < len(holder)


def _places(data):
    if isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            yield data, key
            yield from _places(data[key])


def _value(rng, old):
    if isinstance(old, int | float) and not isinstance(old, bool) and rng.random() < 0.6:
        return rng.choice((*NUMBERS, 0.5, -0.0, 1e308, float("inf"), float("nan"), 10**30, old + 1))
    number = rng.choice(NUMBERS)
    return rng.choice((None, True, number, number, 1e308, "", EVIL, [], {}, [None], {"a": [[]]}, "\ud800", [[[]]]))


def damaged_model(rng: random.Random, model: onnx.ModelProto) -> bytes:
    """A model with one to four fields that hold something else, are gone, are there twice, or stand elsewhere."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for _ in range(rng.randint(1, 4)):
        message = rng.choice(list(_messages(made)))
        fields = list(message.DESCRIPTOR.fields)
        rng.choice((_set, _set, _drop, _double, _swap))(rng, message, rng.choice(fields))
    data = made.SerializeToString()
    return damaged_bytes(rng, data) if rng.random() < 0.15 else data


def _messages(message):
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from _messages(one)


def _drawn(rng, field):
    if field.enum_type is not None:
        return rng.choice([one.number for one in field.enum_type.values])
    if field.cpp_type == field.CPPTYPE_STRING:
        word = rng.choice(WORDS)
        return word.encode() if field.type == field.TYPE_BYTES else word
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
    if field.cpp_type == field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    signed = field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
    number = rng.choice((*NUMBERS, *range(30))) % (1 << bits)
    return number - (1 << bits) if signed and number >> (bits - 1) else number


def _set(rng, message, field):
    if field.message_type is not None:
        target = getattr(message, field.name)
        (target.add if field.is_repeated else target.SetInParent)()
    elif field.is_repeated:
        values = getattr(message, field.name)
        if values and rng.random() < 0.7:
            values[rng.randrange(len(values))] = _drawn(rng, field)
        else:
            values.extend(_drawn(rng, field) for _ in range(rng.randint(1, 3)))
    else:
        setattr(message, field.name, _drawn(rng, field))


def _drop(rng, message, field):
    values = getattr(message, field.name)
    if field.is_repeated and values:
        del values[rng.randrange(len(values))]
    else:
        message.ClearField(field.name)


def _double(rng, message, field):
    values = getattr(message, field.name)
    if field.is_repeated and values:
        one = values[rng.randrange(len(values))]
        copy = type(one).FromString(one.SerializeToString()) if isinstance(one, Message) else one
        values.extend([copy])


def _swap(rng, message, field):
    values = getattr(message, field.name)
    if field.is_repeated and len(values) > 1:
        first, second = rng.sample(range(len(values)), 2)
        if isinstance(values[first], Message):
            one, other = values[first].SerializeToString(), values[second].SerializeToString()
            values[first].ParseFromString(other)
            values[second].ParseFromString(one)
        else:
            values[first], values[second] = values[second], values[first]
