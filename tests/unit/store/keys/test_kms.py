"""Key services against simulated servers on this machine that speak their HTTP: authentication, bound data, error
forms, busy answers."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.a_users_key_provider import Paper

from deputize.core.errors import BadInput, MissingExtra, StoreError, Tampered
from deputize.core.records import Call
from deputize.home import Home
from deputize.maintenance.rotation import rotate
from deputize.store.keys.base import KeyProvider
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.kms import AwsKek, VaultKek, check_service_address
from deputize.store.keys.registry import provider_from, provider_named
from deputize.testing import check_key_provider

pytest.importorskip("hvac", reason="the extra vault is not installed")
pytest.importorskip("boto3", reason="the extra kms is not installed")

Answer = tuple[int, dict[str, Any]]


@pytest.fixture(autouse=True)
def no_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 asks no machine for the role of an instance, and reads no profile of who runs the tests."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")


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
    """Vault's transit engine with aes256-gcm96 keys, as its HTTP API documents it: mounts, namespaces, key versions."""

    TOKEN = "hvs.right"

    def __init__(self) -> None:
        self.keys = {("", "transit", "deputize"): [AESGCM(AESGCM.generate_key(256))]}
        self.min_decryption_version = 1
        super().__init__(self._answer)

    def rotate(self) -> None:
        """POST /transit/keys/deputize/rotate."""
        self.keys["", "transit", "deputize"].append(AESGCM(AESGCM.generate_key(256)))

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if headers.get("x-vault-token") != self.TOKEN:
            return 403, {"errors": ["permission denied"]}
        found = re.fullmatch(r"/v1/([\w/-]+)/(encrypt|decrypt)/([\w-]+)", path)
        name = (headers.get("x-vault-namespace", ""), *(found.group(1, 3) if found else ("", "")))
        if not found or name not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        versions, data = self.keys[name], json.loads(body)
        aad = base64.b64decode(data.get("associated_data", ""))
        if found.group(2) == "encrypt":
            nonce = hashlib.sha256(body + bytes([len(self.requests) % 256])).digest()[:12]
            sealed = nonce + versions[-1].encrypt(nonce, base64.b64decode(data["plaintext"]), aad)
            ciphertext = f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"
            return 200, {"data": {"ciphertext": ciphertext, "key_version": len(versions)}}
        parts = data["ciphertext"].split(":", 2)
        if parts[0] != "vault" or len(parts) < 3:
            return 400, {"errors": ["invalid ciphertext: no prefix"]}
        version = int(parts[1].removeprefix("v"))
        if version > len(versions):
            return 400, {"errors": ["invalid ciphertext: version is too new"]}
        if version < self.min_decryption_version:
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]}
        try:
            sealed = base64.b64decode(parts[2], validate=True)
        except ValueError:
            return 400, {"errors": ["invalid ciphertext: could not decode base64"]}
        try:
            plain = versions[version - 1].decrypt(sealed[:12], sealed[12:], aad)
        except InvalidTag:
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


def signed_by(secret: str, headers: dict[str, str], body: bytes) -> str:
    """The signature that AWS works out from what it received, step by step as "Create a signed AWS API request" says."""

    def mac(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/kms/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=\w+",
        headers["authorization"],
    )
    assert found, headers["authorization"]
    _, day, region, names = found.groups()
    request = "POST\n/\n\n"
    for name in names.split(";"):
        request += name + ":" + headers[name].strip() + "\n"
    request += "\n" + names + "\n" + hashlib.sha256(body).hexdigest()
    text = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            headers["x-amz-date"],
            f"{day}/{region}/kms/aws4_request",
            hashlib.sha256(request.encode()).hexdigest(),
        ]
    )
    key = mac(mac(mac(mac(b"AWS4" + secret.encode(), day), region), "kms"), "aws4_request")
    return mac(key, text).hex()


class FakeKms(FakeService):
    """AWS KMS with one symmetric key: checks the signature of every request, binds the encryption context."""

    ACCESS, SECRET, KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "alias/deputize"

    def __init__(self) -> None:
        self.material = [AESGCM(AESGCM.generate_key(256))]
        self.state = "Enabled"
        self.now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
        super().__init__(self._answer)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if "authorization" not in headers:
            return 400, {
                "__type": "MissingAuthenticationTokenException",
                "message": "Missing Authentication Token",
            }
        names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        wanted = {"host", "x-amz-date", "x-amz-target", "content-type"}
        wanted |= {"x-amz-security-token"} & headers.keys()
        sent = datetime.datetime.strptime(headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
        if (
            not wanted <= set(names)
            or path != "/"
            or f"Credential={self.ACCESS}/" not in headers["authorization"]
            or "/eu-central-1/kms/" not in headers["authorization"]
            or abs((self.now() - sent).total_seconds()) > 300
            or not headers["authorization"].endswith("Signature=" + signed_by(self.SECRET, headers, body))
        ):
            return 403, {
                "__type": "InvalidSignatureException",
                "message": "The request signature does not match.",
            }
        if headers["content-type"] != "application/x-amz-json-1.1":
            return 400, {"__type": "SerializationException"}
        data = json.loads(body)
        if data["KeyId"] != self.KEY:
            return 400, {"__type": "NotFoundException", "message": "Alias is not found."}
        if self.state == "Disabled":
            return 400, {"__type": "DisabledException", "message": "the key is disabled."}
        if self.state != "Enabled":
            return 400, {"__type": "KMSInvalidStateException", "message": f"the key is {self.state}."}
        context = json.dumps(data["EncryptionContext"], sort_keys=True).encode()
        if headers["x-amz-target"] == "TrentService.Encrypt":
            nonce = hashlib.sha256(body).digest()[:12]
            sealed = nonce + self.material[-1].encrypt(nonce, base64.b64decode(data["Plaintext"]), context)
            blob = bytes([len(self.material)]) + sealed
            return 200, {"CiphertextBlob": base64.b64encode(blob).decode(), "KeyId": self.KEY}
        try:
            blob = base64.b64decode(data["CiphertextBlob"])
            plain = self.material[blob[0] - 1].decrypt(blob[1:13], blob[13:], context)
        except (InvalidTag, ValueError, IndexError):
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
        "DEPUTIZE_KEK_PROVIDER": "aws-kms",
        "DEPUTIZE_AWS_KEY": FakeKms.KEY,
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_KMS": service.url,
        "AWS_ACCESS_KEY_ID": FakeKms.ACCESS,
        "AWS_SECRET_ACCESS_KEY": FakeKms.SECRET,
    }


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


def test_a_service_keeps_the_contract(service: FakeService) -> None:
    check_key_provider(lambda: provider_of(service))


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
    store = Home(tmp_path, keyring=ring).open_store()
    n_before = len(service.requests)
    store.append([Call(id=str(i), messages=[], response={}, origin=f"o_{i}") for i in range(50)])
    assert len(service.requests) == n_before, "data keys cost no trip to the service"
    store.close()
    # everything needed is in ring.json; only the secrets come from the environment
    secrets = {k: v for k, v in environ.items() if k.startswith(("VAULT_T", "AWS_ACCESS", "AWS_SECRET"))}
    again = Home(tmp_path, keyring=KeyRing.open(tmp_path, environ=secrets)).open_store()
    assert len(list(again.calls())) == 50
    again.close()
    with pytest.raises(StoreError, match="is not set"):
        KeyRing.open(tmp_path, environ={})


def test_moving_from_a_file_to_a_service(tmp_path: Path, service: FakeService) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    home = Home(tmp_path, keyring=ring)
    store = home.store
    store.append([Call(id="a", messages=[], response={}, origin="o_1")])
    done = rotate(home, provider=provider_of(service))
    assert (done.n_data_keys, done.warnings) == (1, ())
    assert not (tmp_path / "keys" / "kek.key").exists()
    again = KeyRing.open(tmp_path, environ=environ_of(service))
    assert again.provider.key_id == provider_of(service).key_id
    assert [c.id for c in Home(tmp_path, keyring=again).open_store().calls()] == ["a"]
    store.close()


def test_a_busy_service_is_asked_again(service: FakeService) -> None:
    provider = provider_of(service)
    throttled: tuple[int, dict[str, Any]] = (
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
        with pytest.raises(StoreError, match="not have the documented format"):
            provider.unwrap(b"vault:v1:AAAA", b"")


def test_missing_settings_are_said(tmp_path: Path) -> None:
    for environ in (
        {"DEPUTIZE_KEK_PROVIDER": "vault"},
        {"DEPUTIZE_KEK_PROVIDER": "aws-kms"},
        {"DEPUTIZE_KEK_PROVIDER": "paper"},
    ):
        with pytest.raises(BadInput):
            KeyRing.open(tmp_path, environ=environ)
    for spec in ({"kind": "paper"}, {"kind": "vault"}, {}):
        with pytest.raises(BadInput):
            provider_from(spec, tmp_path, {})


def test_a_session_token_is_signed_too(kms: FakeKms) -> None:
    environ = {**environ_of(kms), "AWS_SESSION_TOKEN": "session"}
    AwsKek(FakeKms.KEY, "eu-central-1", environ, endpoint=kms.url).wrap(bytes(32), b"")
    _, headers, _ = kms.requests[-1]
    assert headers["x-amz-security-token"] == "session"
    assert "x-amz-security-token" in headers["authorization"]


def test_an_address_of_the_environment_does_not_get_past_the_check(
    kms: FakeKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 itself reads AWS_ENDPOINT_URL: the key would go where nobody looked at the TLS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", kms.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.url)
    kek = AwsKek(FakeKms.KEY, "xx-nowhere-1", environ_of(kms), sleep=lambda s: None, timeout_s=0.05)
    with pytest.raises(StoreError, match=r"https://kms.xx-nowhere-1"):
        kek.wrap(bytes(32), b"")
    assert kms.requests == []


@pytest.mark.parametrize(
    ("package", "extra", "name"), [("hvac", "vault", "vault"), ("boto3", "kms", "aws-kms")]
)
def test_a_missing_package_is_named_with_its_install_line(
    package: str, extra: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    environ = {"VAULT_ADDR": "https://vault.example", "DEPUTIZE_AWS_KEY": "k", "AWS_REGION": "eu-central-1"}
    with pytest.raises(MissingExtra, match=rf"{package} is not installed.*deputize\[{extra}\]"):
        provider_named(name, Path(), environ)


def test_a_key_of_a_namespace_and_another_mount(vault: FakeVault) -> None:
    vault.keys["teams/a", "crypto/transit", "deputize"] = [AESGCM(AESGCM.generate_key(256))]
    environ = {
        **environ_of(vault),
        "VAULT_NAMESPACE": "teams/a",
        "DEPUTIZE_VAULT_MOUNT": "crypto/transit",
    }
    kek = provider_named("vault", Path(), environ)
    wrapped = kek.wrap(bytes(32), b"aad")
    assert provider_from(kek.spec(), Path(), {"VAULT_TOKEN": FakeVault.TOKEN}).unwrap(
        wrapped, b"aad"
    ) == bytes(32)
    with pytest.raises(Tampered):
        provider_of(vault).unwrap(wrapped, b"aad")


def test_versions_of_a_key_in_vault(vault: FakeVault) -> None:
    """A rotated key opens what its earlier versions wrapped, until the policy says no; that is no sign of tampering."""
    kek = provider_of(vault)
    old = kek.wrap(bytes(32), b"aad")
    vault.rotate()
    new = kek.wrap(bytes(32), b"aad")
    assert (old[:9], new[:9]) == (b"vault:v1:", b"vault:v2:")
    assert kek.unwrap(old, b"aad") == kek.unwrap(new, b"aad") == bytes(32)
    vault.min_decryption_version = 2
    with pytest.raises(StoreError, match="too old") as caught:
        kek.unwrap(old, b"aad")
    assert not isinstance(caught.value, Tampered)
    assert kek.unwrap(new, b"aad") == bytes(32)
    with pytest.raises(StoreError, match="too new"):
        kek.unwrap(new.replace(b"v2", b"v3"), b"aad")


def test_a_home_goes_on_after_the_key_in_vault_was_rotated(tmp_path: Path, vault: FakeVault) -> None:
    """`keys rotate` wraps with the newest version, so that the service's older versions can be retired then."""
    environ = environ_of(vault)
    ring = KeyRing.open(tmp_path, environ=environ)
    home = Home(tmp_path, keyring=ring)
    store = home.store
    store.append([Call(id="a", messages=[], response={}, origin="o_1")])
    vault.rotate()
    rotate(home)
    vault.min_decryption_version = 2
    assert [
        c.id for c in Home(tmp_path, keyring=KeyRing.open(tmp_path, environ=environ)).open_store().calls()
    ] == ["a"]
    store.close()


def test_new_material_of_a_kms_key_opens_what_the_old_wrapped(kms: FakeKms) -> None:
    kek = provider_of(kms)
    old = kek.wrap(bytes(32), b"aad")
    kms.material.append(AESGCM(AESGCM.generate_key(256)))
    assert kek.unwrap(old, b"aad") == kek.unwrap(kek.wrap(bytes(32), b"aad"), b"aad") == bytes(32)


@pytest.mark.parametrize(
    ("state", "error"), [("Disabled", "DisabledException"), ("PendingDeletion", "KMSInvalidStateException")]
)
def test_a_kms_key_that_is_off_is_no_sign_of_tampering(kms: FakeKms, state: str, error: str) -> None:
    kek = provider_of(kms)
    wrapped = kek.wrap(bytes(32), b"aad")
    kms.state = state
    with pytest.raises(StoreError, match=error) as caught:
        kek.unwrap(wrapped, b"aad")
    assert not isinstance(caught.value, Tampered)


def test_a_replica_that_lags_is_asked_again(vault: FakeVault) -> None:
    vault.busy = [(412, {"errors": ["required index state not present"]})]
    provider_of(vault).wrap(bytes(32), b"aad")
    assert len(vault.requests) == 2


@pytest.mark.parametrize(
    "answer", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"]
)
def test_what_is_no_whole_http_answer_is_said(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        kek = VaultKek(url, "k", {"VAULT_TOKEN": "t"}, sleep=lambda s: None)
        with pytest.raises(StoreError, match=r"cannot be reached|not have the documented format"):
            kek.wrap(bytes(32), b"")


def test_a_service_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and says nothing
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        environ = {"VAULT_TOKEN": "t", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
        for kek in (
            VaultKek(url, "k", environ, sleep=lambda s: None, timeout_s=0.05),
            AwsKek("k", "eu-central-1", environ, endpoint=url, sleep=lambda s: None, timeout_s=0.05),
        ):
            with pytest.raises(StoreError, match="timed out"):
                kek.wrap(bytes(32), b"")


# --- the command


@pytest.mark.parametrize("to", ["vault", "aws-kms", "env:NEW_KEK", Paper.kind, "file"])
def test_the_command_moves_the_kek(
    to: str, tmp_path: Path, vault: FakeVault, kms: FakeKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deputize.cli.main import run

    store = Home(tmp_path).open_store()
    store.append([Call(id="a", messages=[], response={}, origin="o_1")])
    store.close()
    old = (tmp_path / "keys" / "kek.key").read_bytes()
    environ = {**environ_of(vault), **environ_of(kms), "DEPUTIZE_KEK_PROVIDER": Paper.kind, "PAPER": "p" * 32}
    for name, value in {**environ, "NEW_KEK": base64.b64encode(bytes(32)).decode()}.items():
        monkeypatch.setenv(name, value)
    assert run(["--home", str(tmp_path), "keys", "rotate", "--to", to]) == 0
    ring = json.loads((tmp_path / "keys" / "ring.json").read_text())
    assert ring["provider"]["kind"] == to.partition(":")[0] if to != Paper.kind else Paper.kind
    assert all(old.strip() not in p.read_bytes() for p in (tmp_path / "keys").iterdir()), (
        "the old key is gone"
    )
    again = Home(tmp_path).open_store()
    assert [c.id for c in again.calls()] == ["a"]
    again.close()
    assert run(["--home", str(tmp_path), "keys", "rotate", "--to", "env:NOT_SET"]) == 1
    assert run(["--home", str(tmp_path), "keys", "rotate", "--to", "paper"]) == 3


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example:8200",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "vault",
        "http://127.0.0.1@evil.example",
        "http://127.evil.example",
    ],
)
def test_a_key_service_is_asked_over_tls_or_on_this_machine(address: str) -> None:
    with pytest.raises(BadInput, match="without TLS"):
        check_service_address(address, {})


def test_plain_http_where_the_environment_allows_it() -> None:
    check_service_address("http://vault.example:8200", {"DEPUTIZE_KEY_SERVICE_HTTP": "allow"})
    for address in (
        "https://vault.example",
        "http://127.0.0.1:8200",
        "http://[::1]:8200",
        "http://localhost",
    ):
        check_service_address(address, {})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_follows_no_redirect(status: int) -> None:
    seen: list[str] = []

    class Service(BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(self.path)
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.end_headers()

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        environ = {"VAULT_TOKEN": "t", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
        for kek in (
            VaultKek(url, "k", environ, sleep=lambda s: None),
            AwsKek("k", "eu-central-1", environ, endpoint=url, sleep=lambda s: None),
        ):
            with pytest.raises(StoreError, match=f"refuses to encrypt.*{status}"):
                kek.wrap(b"k" * 32, b"")
    finally:
        server.shutdown()
        server.server_close()
    assert seen == ["/v1/transit/encrypt/k", "/"]
