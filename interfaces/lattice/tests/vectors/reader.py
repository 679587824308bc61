"""A second implementation of the WIT-to-MessagePack rules, with nothing but the standard library.

    python3 reader.py values.json

decodes each vector by its type, compares the value, and encodes it again to the same bytes. A provider in Python could
take `decode` and `encode` as they are.
"""

import json
import math
import struct
import sys

INTEGERS = {
    "s8": (-(2**7), 2**7 - 1), "u8": (0, 2**8 - 1),
    "s16": (-(2**15), 2**15 - 1), "u16": (0, 2**16 - 1),
    "s32": (-(2**31), 2**31 - 1), "u32": (0, 2**32 - 1),
    "s64": (-(2**63), 2**63 - 1), "u64": (0, 2**64 - 1),
}
NAN = {"f32": bytes.fromhex("ca7fc00000"), "f64": bytes.fromhex("cb7ff8000000000000")}
SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-0": -0.0}


class Bad(ValueError):
    """Bytes that are not a value, or a value that is not of its type."""


class Reader:
    """MessagePack, as far as WIT values need it."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Bad("cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def peek(self):
        return self.data[self.at] if self.at < len(self.data) else None

    def number(self, count, signed=False):
        return int.from_bytes(self.take(count), "big", signed=signed)

    def length(self, short, limit, wide):
        marker = self.number(1)
        if limit and short <= marker < short + limit:
            return marker - short
        if marker in wide:
            return self.number(wide[marker])
        raise Bad(f"marker {marker:#x}")

    def string(self):
        return self.take(self.length(0xA0, 32, {0xD9: 1, 0xDA: 2, 0xDB: 4})).decode("utf-8")

    def binary(self):
        return self.take(self.length(0, 0, {0xC4: 1, 0xC5: 2, 0xC6: 4}))

    def array(self):
        return self.length(0x90, 16, {0xDC: 2, 0xDD: 4})

    def map(self):
        return self.length(0x80, 16, {0xDE: 2, 0xDF: 4})

    def integer(self):
        marker = self.number(1)
        if marker < 0x80:
            return marker
        if marker >= 0xE0:
            return marker - 0x100
        if 0xCC <= marker <= 0xCF:
            return self.number(1 << (marker - 0xCC))
        if 0xD0 <= marker <= 0xD3:
            return self.number(1 << (marker - 0xD0), signed=True)
        raise Bad(f"marker {marker:#x}")


def is_bytes(ty):
    return ty == {"list": "u8"}


def is_option(ty):
    return isinstance(ty, dict) and "option" in ty


def read(ty, r):
    """The value of type `ty`, in the form in which the vectors spell it."""
    if ty == "bool":
        return {0xC2: False, 0xC3: True}[r.number(1)]
    if isinstance(ty, str) and ty in INTEGERS:
        value, (low, high) = r.integer(), INTEGERS[ty]
        if not low <= value <= high:
            raise Bad(f"{value} is no {ty}")
        return value
    if ty in ("f32", "f64"):
        marker, form, width = (0xCA, ">f", 4) if ty == "f32" else (0xCB, ">d", 8)
        if r.number(1) != marker:
            raise Bad(ty)
        return spell(struct.unpack(form, r.take(width))[0])
    if ty == "char":
        text = r.string()
        if len(text) != 1:
            raise Bad("char")
        return text
    if ty == "string":
        return r.string()
    if ty == "resource" or is_bytes(ty):
        return r.binary().hex()
    ((kind, inner),) = ty.items()
    if kind == "list":
        return [read(inner, r) for _ in range(r.array())]
    if kind == "tuple":
        if r.array() != len(inner):
            raise Bad("tuple")
        return [read(item, r) for item in inner]
    if kind == "record":
        types, value = dict(inner), {}
        for _ in range(r.map()):
            name = r.string()
            if name in value or name not in types:
                raise Bad(name)
            value[name] = read(types[name], r)
        if len(value) != len(types):
            raise Bad("record")
        return value
    if kind == "enum":
        name = r.string()
        if name not in inner:
            raise Bad(name)
        return name
    if kind == "variant":
        types = dict(inner)
        if 0xA0 <= r.peek() <= 0xBF or 0xD9 <= r.peek() <= 0xDB:
            name = r.string()
            if types[name] is not None:
                raise Bad(name)
            return {"case": name}
        if r.map() != 1:
            raise Bad("variant")
        name = r.string()
        if types[name] is None:
            raise Bad(name)
        return {"case": name, "value": read(types[name], r)}
    if kind == "option":
        if r.peek() == 0xC0:
            r.take(1)
            return None
        if is_option(inner) and r.array() != 1:
            raise Bad("option")
        return {"some": read(inner, r)}
    if kind == "result":
        if r.map() != 1:
            raise Bad("result")
        name = r.string()
        if inner[name] is None:
            if r.number(1) != 0xC0:
                raise Bad("result")
            return {name: None}
        return {name: read(inner[name], r)}
    if kind == "flags":
        names = [r.string() for _ in range(r.array())]
        if len(set(names)) != len(names) or not set(names) <= set(inner):
            raise Bad("flags")
        return names
    raise Bad(f"type {ty}")


def spell(value):
    """Floats that JSON has no word for are words."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return "-0" if value == 0 and math.copysign(1, value) < 0 else value


def head(count, short, limit, wide):
    if count < limit:
        return bytes([short + count])
    for marker, width in wide:
        if count < 1 << (8 * width):
            return bytes([marker]) + count.to_bytes(width, "big")
    raise Bad("too long")


def write_string(text):
    raw = text.encode("utf-8")
    return head(len(raw), 0xA0, 32, [(0xD9, 1), (0xDA, 2), (0xDB, 4)]) + raw


def write_binary(raw):
    return head(len(raw), 0, 0, [(0xC4, 1), (0xC5, 2), (0xC6, 4)]) + raw


def write_array(items):
    return head(len(items), 0x90, 16, [(0xDC, 2), (0xDD, 4)]) + b"".join(items)


def write_map(pairs):
    entries = b"".join(write_string(name) + value for name, value in pairs)
    return head(len(pairs), 0x80, 16, [(0xDE, 2), (0xDF, 4)]) + entries


def write_integer(value):
    if 0 <= value < 0x80:
        return bytes([value])
    if -0x20 <= value < 0:
        return bytes([value + 0x100])
    for step, width in enumerate((1, 2, 4, 8)):
        if 0 <= value < 1 << (8 * width):
            return bytes([0xCC + step]) + value.to_bytes(width, "big")
        if value < 0 and value >= -(1 << (8 * width - 1)):
            return bytes([0xD0 + step]) + value.to_bytes(width, "big", signed=True)
    raise Bad(f"{value}")


def write(ty, value):
    """The bytes of a value that is spelled as the vectors spell it."""
    if ty == "bool":
        return b"\xc3" if value else b"\xc2"
    if isinstance(ty, str) and ty in INTEGERS:
        return write_integer(value)
    if ty in ("f32", "f64"):
        number = SPECIAL[value] if isinstance(value, str) else value
        if math.isnan(number):
            return NAN[ty]
        return b"\xca" + struct.pack(">f", number) if ty == "f32" else b"\xcb" + struct.pack(">d", number)
    if ty in ("char", "string"):
        return write_string(value)
    if ty == "resource" or is_bytes(ty):
        return write_binary(bytes.fromhex(value))
    ((kind, inner),) = ty.items()
    if kind == "list":
        return write_array([write(inner, item) for item in value])
    if kind == "tuple":
        return write_array([write(item, member) for item, member in zip(inner, value)])
    if kind == "record":
        return write_map([(name, write(item, value[name])) for name, item in inner])
    if kind == "enum":
        return write_string(value)
    if kind == "variant":
        payload = dict(inner)[value["case"]]
        if payload is None:
            return write_string(value["case"])
        return write_map([(value["case"], write(payload, value["value"]))])
    if kind == "option":
        if value is None:
            return b"\xc0"
        some = write(inner, value["some"])
        return write_array([some]) if is_option(inner) else some
    if kind == "result":
        ((name, payload),) = value.items()
        return write_map([(name, b"\xc0" if inner[name] is None else write(inner[name], payload))])
    if kind == "flags":
        return write_array([write_string(name) for name in inner if name in value])
    raise Bad(f"type {ty}")


def decode(ty, data):
    reader = Reader(data)
    value = read(ty, reader)
    if reader.at != len(data):
        raise Bad("bytes behind the value")
    return value


def encode(ty, value):
    return write(ty, value)


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    for vector in vectors:
        data = bytes.fromhex(vector["hex"])
        value = decode(vector["type"], data)
        if value != vector["value"]:
            sys.exit(f"{vector['name']}: read {value!r}, expected {vector['value']!r}")
        if encode(vector["type"], value) != data:
            sys.exit(f"{vector['name']}: written as {encode(vector['type'], value).hex()}, expected {data.hex()}")
    print(f"{len(vectors)} vectors")


if __name__ == "__main__":
    main(sys.argv[1])
