"""Key services against local servers that speak their HTTP: authentication, bound data, error forms, busy answers."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.core.records import Call
from deputize.store.keys import KeyRing
from deputize.store.kms import AwsKek, VaultKek, sign_v4
from deputize.store.providers import KeyProvider, provider_from
from deputize.store.rotation import rotate
from deputize.store.sqlite import open_store

Answer = tuple[int, dict[str, Any]]


class FakeService:
    """A key service on a free port of the loopback. `busy` answers come before real ones."""

    def __init__(self, answer: Callable[[str, dict[str, str], bytes], Answer]) -> None:
        self.busy: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {k.lower(): v for k, v in self.headers.items()}
                service.requests.append((self.path, headers, body))
                status, reply = service.busy.pop(0) if service.busy else answer(self.path, headers, body)
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class FakeVault(FakeService):
    """Vault's transit engine with one aes256-gcm96 key, as its HTTP API documents it."""

    TOKEN = "hvs.right"

    def __init__(self) -> None:
        self.keys = {"deputize": AESGCM(AESGCM.generate_key(256))}
        super().__init__(self._answer)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if headers.get("x-vault-token") != self.TOKEN:
            return 403, {"errors": ["permission denied"]}
        found = re.fullmatch(r"/v1/transit/(encrypt|decrypt)/([\w-]+)", path)
        if not found or found.group(2) not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        key, data = self.keys[found.group(2)], json.loads(body)
        aad = base64.b64decode(data.get("associated_data", ""))
        if found.group(1) == "encrypt":
            nonce = hashlib.sha256(body + bytes([len(self.requests) % 256])).digest()[:12]
            sealed = nonce + key.encrypt(nonce, base64.b64decode(data["plaintext"]), aad)
            return 200, {
                "data": {"ciphertext": "vault:v1:" + base64.b64encode(sealed).decode(), "key_version": 1}
            }
        if not data["ciphertext"].startswith("vault:v1:"):
            return 400, {"errors": ["invalid ciphertext: no prefix"]}
        try:
            sealed = base64.b64decode(data["ciphertext"].removeprefix("vault:v1:"), validate=True)
        except ValueError:
            return 400, {"errors": ["invalid ciphertext: could not decode base64"]}
        try:
            plain = key.decrypt(sealed[:12], sealed[12:], aad)
        except InvalidTag:
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


class FakeKms(FakeService):
    """AWS KMS with one symmetric key: checks the signature of every request, binds the encryption context."""

    ACCESS, SECRET, KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "alias/deputize"

    def __init__(self) -> None:
        self.key = AESGCM(AESGCM.generate_key(256))
        super().__init__(self._answer)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        signed = re.search(r"SignedHeaders=([^,]+)", headers.get("authorization", ""))
        names = signed.group(1).split(";") if signed else []
        if not {"host", "x-amz-date", "x-amz-target", "content-type"} <= set(names):
            return 400, {
                "__type": "MissingAuthenticationTokenException",
                "message": "Missing Authentication Token",
            }
        again = sign_v4(
            "POST", path, {n: headers[n] for n in names}, body, access=self.ACCESS, secret=self.SECRET,
            region="eu-central-1", service="kms",
        )  # fmt: skip
        if again != headers["authorization"]:
            return 403, {
                "__type": "InvalidSignatureException",
                "message": "The request signature does not match.",
            }
        if headers["content-type"] != "application/x-amz-json-1.1":
            return 400, {"__type": "SerializationException"}
        data = json.loads(body)
        if data["KeyId"] != self.KEY:
            return 400, {"__type": "NotFoundException", "message": "Alias is not found."}
        context = json.dumps(data["EncryptionContext"], sort_keys=True).encode()
        if headers["x-amz-target"] == "TrentService.Encrypt":
            nonce = hashlib.sha256(body).digest()[:12]
            sealed = nonce + self.key.encrypt(nonce, base64.b64decode(data["Plaintext"]), context)
            return 200, {"CiphertextBlob": base64.b64encode(sealed).decode(), "KeyId": self.KEY}
        try:
            sealed = base64.b64decode(data["CiphertextBlob"])
            plain = self.key.decrypt(sealed[:12], sealed[12:], context)
        except (InvalidTag, ValueError):
            return 400, {"__type": "InvalidCiphertextException"}
        return 200, {"Plaintext": base64.b64encode(plain).decode(), "KeyId": self.KEY}


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    service = FakeVault()
    yield service
    service.close()


@pytest.fixture
def kms() -> Iterator[FakeKms]:
    service = FakeKms()
    yield service
    service.close()


def environ_of(service: FakeService) -> dict[str, str]:
    if isinstance(service, FakeVault):
        return {"DEPUTIZE_KEK_PROVIDER": "vault", "VAULT_ADDR": service.url, "VAULT_TOKEN": FakeVault.TOKEN}
    return {
        "DEPUTIZE_KEK_PROVIDER": "aws-kms", "DEPUTIZE_AWS_KEY": FakeKms.KEY, "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_KMS": service.url, "AWS_ACCESS_KEY_ID": FakeKms.ACCESS, "AWS_SECRET_ACCESS_KEY": FakeKms.SECRET,
    }  # fmt: skip


def provider_of(service: FakeService, **changes: str) -> KeyProvider:
    environ = {**environ_of(service), **changes}
    if isinstance(service, FakeVault):
        return VaultKek(service.url, "deputize", environ, sleep=lambda s: None)
    return AwsKek(FakeKms.KEY, "eu-central-1", environ, endpoint=service.url, sleep=lambda s: None)


@pytest.fixture(params=["vault", "kms"])
def service(request: pytest.FixtureRequest) -> FakeService:
    made: FakeService = request.getfixturevalue(request.param)
    return made


def test_a_service_wraps_and_unwraps(service: FakeService) -> None:
    provider = provider_of(service)
    wrapped = provider.wrap(bytes(range(32)), b"aad")
    assert bytes(range(32)) not in wrapped
    assert provider.unwrap(wrapped, b"aad") == bytes(range(32))
    assert provider_from(provider.spec(), Path(), environ_of(service)).unwrap(wrapped, b"aad") == bytes(
        range(32)
    )


def test_what_was_changed_or_bound_otherwise_does_not_open(service: FakeService) -> None:
    provider = provider_of(service)
    wrapped = provider.wrap(bytes(32), b"aad")
    with pytest.raises(Tampered):
        provider.unwrap(wrapped, b"other")
    changed = bytearray(wrapped)
    changed[-3] ^= 1
    with pytest.raises(Tampered):
        provider.unwrap(bytes(changed), b"aad")


def test_a_whole_home_can_rest_on_a_service(tmp_path: Path, service: FakeService) -> None:
    environ = environ_of(service)
    ring = KeyRing.open(tmp_path, environ=environ)
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["ring.json"], "no key lies on this disk"
    for name in ("VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        assert environ.get(name, "none") not in (tmp_path / "keys" / "ring.json").read_text()
    store = open_store(tmp_path, ring)
    n_before = len(service.requests)
    store.append([Call(id=str(i), messages=[], response={}, origin=f"o_{i}") for i in range(50)])
    assert len(service.requests) == n_before, "data keys cost no trip to the service"
    store.close()
    # everything needed is in ring.json; only the secrets come from the environment
    secrets = {k: v for k, v in environ.items() if k.startswith(("VAULT_T", "AWS_ACCESS", "AWS_SECRET"))}
    again = open_store(tmp_path, KeyRing.open(tmp_path, environ=secrets))
    assert len(list(again.calls())) == 50
    again.close()
    with pytest.raises(StoreError, match="is not set"):
        KeyRing.open(tmp_path, environ={})


def test_moving_from_a_file_to_a_service(tmp_path: Path, service: FakeService) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    store = open_store(tmp_path, ring)
    store.append([Call(id="a", messages=[], response={}, origin="o_1")])
    done = rotate(tmp_path, ring, store, provider=provider_of(service))
    assert (done.n_data_keys, done.warnings) == (1, ())
    assert not (tmp_path / "keys" / "kek.key").exists()
    again = KeyRing.open(tmp_path, environ=environ_of(service))
    assert again.provider.key_id == provider_of(service).key_id
    assert [c.id for c in open_store(tmp_path, again).calls()] == ["a"]
    store.close()


def test_a_busy_service_is_asked_again(service: FakeService) -> None:
    provider = provider_of(service)
    throttled = (
        (400, {"__type": "ThrottlingException"}) if isinstance(service, FakeKms) else (429, {"errors": []})
    )
    service.busy = [(503, {"errors": ["Vault is sealed"]}), throttled]
    wrapped = provider.wrap(bytes(32), b"")
    assert len(service.requests) == 3
    service.busy = [(500, {})] * 9
    with pytest.raises(StoreError, match=r"cannot be reached \(HTTP 500\)"):
        provider.unwrap(wrapped, b"")
    assert len(service.requests) == 6


def test_a_service_that_is_not_there_is_said() -> None:
    kek = VaultKek("http://127.0.0.1:9", "k", {"VAULT_TOKEN": "t"}, sleep=lambda s: None)
    with pytest.raises(StoreError, match="cannot be reached"):
        kek.wrap(bytes(32), b"")


def test_wrong_credentials_are_said_without_showing_them(vault: FakeVault, kms: FakeKms) -> None:
    with pytest.raises(StoreError, match="permission denied") as caught:
        provider_of(vault, VAULT_TOKEN="hvs.wrong").wrap(bytes(32), b"")
    assert "hvs.wrong" not in str(caught.value)
    with pytest.raises(StoreError, match="InvalidSignatureException") as caught:
        provider_of(kms, AWS_SECRET_ACCESS_KEY="wrong-secret").wrap(bytes(32), b"")
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(StoreError, match="NotFoundException"):
        AwsKek("alias/other", "eu-central-1", environ_of(kms), endpoint=kms.url).wrap(bytes(32), b"")


def test_rubbish_from_a_service_is_said(service: FakeService) -> None:
    provider = provider_of(service)
    for rubbish in ({}, {"data": 3}, {"data": {"plaintext": "%%"}, "Plaintext": "%%"}):
        service.busy = [(200, rubbish)]
        with pytest.raises(StoreError, match="not of the documented form"):
            provider.unwrap(b"vault:v1:AAAA", b"")


def test_missing_settings_are_said(tmp_path: Path) -> None:
    for environ in (
        {"DEPUTIZE_KEK_PROVIDER": "vault"}, {"DEPUTIZE_KEK_PROVIDER": "aws-kms"}, {"DEPUTIZE_KEK_PROVIDER": "paper"},
    ):  # fmt: skip
        with pytest.raises(BadInput):
            KeyRing.open(tmp_path, environ=environ)
    for spec in ({"kind": "paper"}, {"kind": "vault"}, {}):
        with pytest.raises(BadInput):
            provider_from(spec, tmp_path, {})


@pytest.mark.parametrize(
    ("method", "signature"),
    [
        ("GET", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ],
)
def test_signatures_are_those_of_the_published_examples(method: str, signature: str) -> None:
    """get-vanilla and post-vanilla of AWS's Signature Version 4 test suite."""
    headers = {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z"}
    made = sign_v4(
        method, "/", headers, b"", access="AKIDEXAMPLE", secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region="us-east-1", service="service",
    )  # fmt: skip
    assert made.endswith(f"SignedHeaders=host;x-amz-date, Signature={signature}")


def test_a_session_token_is_signed_too(kms: FakeKms) -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    environ = {**environ_of(kms), "AWS_SESSION_TOKEN": "session"}
    AwsKek(FakeKms.KEY, "eu-central-1", environ, endpoint=kms.url, now=lambda: moment).wrap(bytes(32), b"")
    _, headers, _ = kms.requests[-1]
    assert headers["x-amz-date"] == "20260102T030405Z"
    assert "x-amz-security-token" in headers["authorization"]
