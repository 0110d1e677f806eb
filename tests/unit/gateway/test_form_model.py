"""The model that a form names: one that every server reads alike, or none."""

from __future__ import annotations

import contextlib
import time

import pytest

from deputize.core.errors import BadInput
from deputize.gateway.form_model import form_model

TYPE = {"content-type": "multipart/form-data; boundary=x"}
END = b"--x--\r\n"


def part(disposition: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b"--x\r\nContent-Disposition: form-data; " + disposition + more + b"\r\n\r\n" + value + b"\r\n"


MODEL = part(b'name="model"', b"whisper")
SOUND = part(b'name="file"; filename="my name.mp3"', b"\x00\xff\r\n--y\r\n", b"\r\nContent-Type: audio/mpeg")


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (MODEL + END, "whisper"),
        (SOUND + MODEL + END, "whisper"),
        (b"before it\r\n" + MODEL + END + b"behind it", "whisper"),
        (part(b"name=model", b"other") + END, "other"),
        (part(b'NAME="Model"', b"other") + END, "other"),
        (part(b"name*=utf-8''model", b"other") + END, "other"),
        (part(b"name*0=mo; name*1=del", b"other") + END, "other"),
        (SOUND + END, ""),
        (b"", ""),
    ],
)
def test_the_model_is_read_however_its_field_is_written(body: bytes, model: str) -> None:
    assert form_model(TYPE, body) == model
    assert form_model({"content-type": 'Multipart/Form-Data; Boundary="x"'}, body) == model
    assert form_model({"content-type": "application/json"}, body) == ""


HIDDEN = b'Content-Disposition: form-data; name="model"\r\n\r\nallowed'


def test_what_stands_in_a_file_is_no_field() -> None:
    assert form_model(TYPE, part(b'name="file"', HIDDEN) + part(b"name=model", b"other") + END) == "other"


@pytest.mark.parametrize(
    "body",
    [
        MODEL + MODEL + END,
        MODEL + part(b"name=model", b"other") + END,
        part(b'name="model"; name="file"', b"other") + MODEL + END,
        part(b'name="file"', b"q\n--x\n" + HIDDEN.replace(b"\r", b"")) + MODEL + END,
        part(b'name="file"', b"--x\r\n" + HIDDEN) + MODEL + END,
        part(b'name="file"', b"q", b"\nContent-Type: a") + MODEL + END,
        part(b'filename="a"', b"q") + MODEL + END,
        b"--xy\r\n" + HIDDEN + b"\r\n" + MODEL + END,
        b"--x\r\n" + HIDDEN.partition(b"\r\n\r\n")[2] + b"\r\n" + END,
        part(b'name="model"', b"m" * 300) + END,
        part(b'name="a"', b"") * 1001 + END,
    ],
)
def test_what_servers_may_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        form_model(TYPE, body)


@pytest.mark.parametrize("declared", ["multipart/form-data", "multipart/form-data; boundary=x; boundary=y"])
def test_one_boundary_is_named(declared: str) -> None:
    with pytest.raises(BadInput):
        form_model({"content-type": declared}, MODEL + END)


@pytest.mark.parametrize("piece", [b'name="model"\r\n', b"--x\r\n", b"\r\n\r\n", b"--"])
def test_hostile_forms_take_no_time(piece: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(BadInput):
        form_model(TYPE, piece * 500_000)
    assert time.process_time() - began < 2
