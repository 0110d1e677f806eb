"""KEKs that stay in a key service: Vault's transit engine and AWS KMS, spoken to over plain HTTP.

References:
    Vault HTTP API, "Transit secrets engine": encrypt and decrypt data, associated_data.
    AWS KMS API reference: Encrypt, Decrypt; AWS General Reference: Signature Version 4.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import hmac
import http.client
import ipaddress
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from deputize.core.errors import BadInput, StoreError, Tampered

_TIMEOUT_S = 10.0
_ATTEMPTS = 3
_MAX_REPLY_BYTES = 1 << 20
_TRY_AGAIN = (412, 429)
"""412: a Vault replica that has not caught up yet."""

Sleep = Callable[[float], None]

HTTP_VARIABLE = "DEPUTIZE_KEY_SERVICE_HTTP"
"""Set to "allow": a key service may be asked without TLS beyond this machine."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: the token is for the address that was configured, and for no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_opener = urllib.request.build_opener(_NoRedirects)


def check_service_address(url: str, environ: Mapping[str, str]) -> None:
    """Checks that a key service is asked over TLS, or on this machine.

    Raises:
        BadInput: another scheme or no host, or plain HTTP to another machine that the environment does not allow.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    if parts.scheme != "http" or not host or not (_is_local(host) or environ.get(HTTP_VARIABLE) == "allow"):
        raise BadInput(
            f"The key service at {url} would be asked without TLS: use https (or set {HTTP_VARIABLE}=allow)."
        )


class _Refused(Exception):
    """The service answered with an error."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body = status, body


def _post(
    url: str, body: bytes, headers: Callable[[], dict[str, str]], what: str, sleep: Sleep, timeout_s: float
) -> dict[str, Any]:
    """The JSON reply to a POST; tried again when the service is busy or cannot be reached.

    Raises:
        StoreError: it cannot be reached.
        _Refused: it answered with an error that will not go away by itself.
    """
    last = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(0.2 * 2**attempt)
        request = urllib.request.Request(url, data=body, headers=headers(), method="POST")
        try:
            with _opener.open(request, timeout=timeout_s) as reply:
                return _object(reply.read(_MAX_REPLY_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                answer = _object(error.read(_MAX_REPLY_BYTES))
            throttled = "Throttling" in str(answer.get("__type", ""))
            if error.code < 500 and error.code not in _TRY_AGAIN and not throttled:
                raise _Refused(error.code, answer) from None
            last = f"HTTP {error.code}"
        except (
            OSError,
            http.client.HTTPException,
        ) as error:  # no connection, no answer, half of one, or no HTTP
            last = str(getattr(error, "reason", "") or error) or type(error).__name__
    raise StoreError(f"{what} cannot be reached ({last}); keys cannot be opened without it.")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: Any, what: str) -> bytes:
    """Base64 from a reply."""
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error, ValueError):
        raise StoreError(f"{what} sent a reply that does not have the documented format.") from None


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class VaultKek:
    """A key of Vault's transit engine (type aes256-gcm96). The token comes from VAULT_TOKEN at every use."""

    kind: ClassVar[str] = "vault"

    def __init__(
        self,
        address: str,
        key: str,
        environ: Mapping[str, str],
        *,
        mount: str = "transit",
        namespace: str = "",
        sleep: Sleep = time.sleep,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        check_service_address(address, environ)
        self._address, self._key, self._mount, self._namespace = address.rstrip("/"), key, mount, namespace
        self._environ, self._sleep, self._timeout_s = environ, sleep, timeout_s
        self._what = f"Vault at {self._address}"

    @property
    def key_id(self) -> str:
        return f"vault:{self._mount}/{self._key}"

    def spec(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "address": self._address,
            "key": self._key,
            "mount": self._mount,
            "namespace": self._namespace,
        }

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        data = self._ask("encrypt", {"plaintext": _b64(key), "associated_data": _b64(aad)})
        ciphertext = data.get("ciphertext")
        if not isinstance(ciphertext, str):
            raise StoreError(f"{self._what} sent a reply that does not have the documented format.")
        return ciphertext.encode()

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        data = self._ask(
            "decrypt", {"ciphertext": wrapped.decode("ascii", "replace"), "associated_data": _b64(aad)}
        )
        return _text(data.get("plaintext"), self._what)

    def _ask(self, verb: str, body: dict[str, str]) -> dict[str, Any]:
        url = f"{self._address}/v1/{self._mount}/{verb}/{urllib.parse.quote(self._key, safe='')}"
        try:
            answer = _post(
                url, json.dumps(body).encode(), self._headers, self._what, self._sleep, self._timeout_s
            )
        except _Refused as error:
            errors = "; ".join(str(e) for e in error.body.get("errors") or [])
            if verb == "decrypt" and _says_changed(errors):
                raise Tampered(
                    f"A key wrapped by {self.key_id} does not open: {errors or 'HTTP 400'}."
                ) from None
            raise StoreError(
                f"{self._what} refuses to {verb} with {self.key_id}: {errors or error}."
            ) from None
        data = answer.get("data")
        return data if isinstance(data, dict) else {}

    def _headers(self) -> dict[str, str]:
        token = self._environ.get("VAULT_TOKEN")
        if not token:
            raise StoreError("The keys of this home are wrapped by Vault, and VAULT_TOKEN is not set.")
        headers = {"X-Vault-Token": token, "X-Vault-Request": "true", "Content-Type": "application/json"}
        return {**headers, "X-Vault-Namespace": self._namespace} if self._namespace else headers


def _says_changed(errors: str) -> bool:
    """True where Vault means the ciphertext itself, not a version that its policy or its replica does not open now."""
    return "message authentication failed" in errors or (
        "invalid ciphertext" in errors and "too new" not in errors
    )


class AwsKek:
    """A symmetric key of AWS KMS. Credentials come from AWS_ACCESS_KEY_ID and its companions at every use."""

    kind: ClassVar[str] = "aws-kms"

    def __init__(
        self,
        key: str,
        region: str,
        environ: Mapping[str, str],
        *,
        endpoint: str = "",
        sleep: Sleep = time.sleep,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """`key`: key id, ARN or alias/name. `endpoint`: only where it is not the region's public one."""
        self._key, self._region, self._endpoint = key, region, endpoint.rstrip("/")
        self._url = (self._endpoint or f"https://kms.{region}.amazonaws.com") + "/"
        check_service_address(self._url, environ)
        self._environ, self._sleep, self._now, self._timeout_s = environ, sleep, now, timeout_s
        self._what = f"AWS KMS at {self._url}"

    @property
    def key_id(self) -> str:
        return f"aws-kms:{self._key}"

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "key": self._key, "region": self._region, "endpoint": self._endpoint}

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        answer = self._ask("Encrypt", {"Plaintext": _b64(key), "EncryptionContext": self._context(aad)})
        return _text(answer.get("CiphertextBlob"), self._what)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        answer = self._ask(
            "Decrypt", {"CiphertextBlob": _b64(wrapped), "EncryptionContext": self._context(aad)}
        )
        return _text(answer.get("Plaintext"), self._what)

    @staticmethod
    def _context(aad: bytes) -> dict[str, str]:
        # it appears in AWS's own audit trail: a digest says nothing to others and binds as well
        return {"deputize": hashlib.sha256(aad).hexdigest()}

    def _ask(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps({"KeyId": self._key, **body}).encode()
        try:
            return _post(
                self._url, data, lambda: self._headers(action, data), self._what, self._sleep, self._timeout_s
            )
        except _Refused as error:
            kind = str(error.body.get("__type", "")).rpartition("#")[2]
            said = error.body.get("message") or error.body.get("Message") or ""
            if kind in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise Tampered(f"A key wrapped by {self.key_id} does not open: {kind}.") from None
            raise StoreError(
                f"{self._what} refuses to {action.lower()} with {self.key_id}: {kind or error} {said}".rstrip()
                + "."
            ) from None

    def _headers(self, action: str, body: bytes) -> dict[str, str]:
        access, secret = (
            self._environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        )
        if not access or not secret:
            raise StoreError(
                "The keys of this home are wrapped by AWS KMS, and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set."
            )
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"TrentService.{action}",
            "Host": urllib.parse.urlsplit(self._url).netloc,
            "X-Amz-Date": self._now().strftime("%Y%m%dT%H%M%SZ"),
        }
        if token := self._environ.get("AWS_SESSION_TOKEN"):
            headers["X-Amz-Security-Token"] = token
        signed = sign_v4(
            "POST", "/", headers, body, access=access, secret=secret, region=self._region, service="kms"
        )
        return {**headers, "Authorization": signed}


def sign_v4(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    access: str,
    secret: str,
    region: str,
    service: str,
) -> str:
    """The Authorization header of an AWS request without a query; `headers` need Host and X-Amz-Date.

    References:
        AWS General Reference, "Create a signed AWS API request" (Signature Version 4).
    """
    lower = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    names = ";".join(sorted(lower))
    canonical = "\n".join(
        [
            method,
            path,
            "",
            *(f"{name}:{lower[name]}" for name in sorted(lower)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    moment = lower["x-amz-date"]
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (moment[:8], region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"


def vault_from_environment(environ: Mapping[str, str]) -> VaultKek:
    """VAULT_ADDR, VAULT_NAMESPACE, DEPUTIZE_VAULT_KEY (default deputize), DEPUTIZE_VAULT_MOUNT (default transit).

    Raises:
        BadInput: VAULT_ADDR is not set.
    """
    if not environ.get("VAULT_ADDR"):
        raise BadInput("The vault key provider needs VAULT_ADDR.")
    return VaultKek(
        environ["VAULT_ADDR"],
        environ.get("DEPUTIZE_VAULT_KEY", "deputize"),
        environ,
        mount=environ.get("DEPUTIZE_VAULT_MOUNT", "transit"),
        namespace=environ.get("VAULT_NAMESPACE", ""),
    )


def aws_from_environment(environ: Mapping[str, str]) -> AwsKek:
    """DEPUTIZE_AWS_KEY, AWS_REGION (or AWS_DEFAULT_REGION), AWS_ENDPOINT_URL_KMS where it is not the public one.

    Raises:
        BadInput: key or region is not set.
    """
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION", "")
    if not environ.get("DEPUTIZE_AWS_KEY") or not region:
        raise BadInput(
            "The aws-kms key provider needs DEPUTIZE_AWS_KEY (key id, ARN or alias) and AWS_REGION."
        )
    return AwsKek(
        environ["DEPUTIZE_AWS_KEY"], region, environ, endpoint=environ.get("AWS_ENDPOINT_URL_KMS", "")
    )


def vault_from_spec(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> VaultKek:
    """As keys.registry asks for it."""
    mount, namespace = spec.get("mount", "transit"), spec.get("namespace", "")
    return VaultKek(spec["address"], spec["key"], environ, mount=mount, namespace=namespace)


def aws_from_spec(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> AwsKek:
    """As keys.registry asks for it."""
    return AwsKek(spec["key"], spec["region"], environ, endpoint=spec.get("endpoint", ""))
