"""Frames as botocore reads them. Reads one JSON object a line, {"frames": HEX, "pieces": N}: decodes the bytes, given in pieces
of that size, and writes what it found as one JSON list: [[headers, payload in hexadecimal], ...]. A line {"make": SEED} is
answered with frames made here by the specification, with headers of every type, which botocore must read as well."""

import binascii
import json
import random
import struct
import sys
import uuid

from botocore.eventstream import EventStreamBuffer


def header(rng, name):
    kind = rng.randrange(10)
    value = {0: b"", 1: b"", 2: rng.randbytes(1), 3: rng.randbytes(2), 4: rng.randbytes(4), 5: rng.randbytes(8),
             8: rng.randbytes(8), 9: uuid.UUID(int=rng.getrandbits(128)).bytes}.get(kind)
    if value is None:
        value = rng.randbytes(rng.randrange(300)) if kind == 6 else ("é" * rng.randrange(100)).encode()
        value = struct.pack(">H", len(value)) + value
    return bytes([len(name)]) + name + bytes([kind]) + value


def frame(rng):
    names = rng.sample([b"a", b":x-y", b"n" * 255, b"z9", "ü".encode()], rng.randrange(5))
    kind = ("kind-%d" % rng.randrange(1000)).encode()
    parts = [header(rng, name) for name in names]
    parts.insert(rng.randrange(len(parts) + 1), b"\x0b:event-type\x07" + struct.pack(">H", len(kind)) + kind)
    headers = b"".join(parts)
    payload = rng.randbytes(rng.choice([0, 1, 50, 5000, 100000]))
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", binascii.crc32(body))


def read(data, pieces):
    buffer, out = EventStreamBuffer(), []
    for at in range(0, len(data), pieces):
        buffer.add_data(data[at:at + pieces])
        out += [[{k: v for k, v in e.headers.items() if isinstance(v, str)}, e.payload.hex()] for e in buffer]
    return out


for line in sys.stdin:
    asked = json.loads(line)
    if "make" in asked:
        rng = random.Random(asked["make"])
        data = b"".join(frame(rng) for _ in range(rng.randrange(1, 6)))
        print(json.dumps({"frames": data.hex(), "read": [[h.get(":event-type"), p] for h, p in read(data, 1 + rng.randrange(4000))]}))
    else:
        print(json.dumps(read(bytes.fromhex(asked["frames"]), asked["pieces"])))
