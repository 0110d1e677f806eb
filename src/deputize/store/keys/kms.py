"""KEKs that stay in a key service: Vault's transit engine, through hvac, and AWS KMS, through boto3.

References:
    Vault HTTP API, "Transit secrets engine": encrypt and decrypt data, associated_data.
    AWS KMS API reference: Encrypt, Decrypt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from deputize.core.errors import BadInput, MissingExtra, StoreError, Tampered

_TIMEOUT_S = 10.0
_ATTEMPTS = 3
_TRY_AGAIN = (412, 429)
"""412: a Vault replica that has not caught up yet."""

Sleep = Callable[[float], None]

HTTP_VARIABLE = "DEPUTIZE_KEY_SERVICE_HTTP"
"""Set to "allow": a key service may be asked without TLS beyond this machine."""


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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


class _Busy(Exception):
    """The service cannot be reached or cannot answer now."""


def _asked(ask: Callable[[], Any], what: str, sleep: Sleep) -> Any:
    """The answer of a service, asked again where it is busy.

    Raises:
        StoreError: it cannot be reached.
    """
    last = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(0.2 * 2**attempt)
        try:
            return ask()
        except _Busy as error:
            last = str(error)
    raise StoreError(f"{what} cannot be reached ({last}); keys cannot be opened without it.")


def _odd_reply(what: str) -> StoreError:
    return StoreError(f"{what} sent a reply that does not have the documented format.")


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
        """
        Raises:
            BadInput: the address has no TLS.
            MissingExtra: hvac is not installed.
        """
        check_service_address(address, environ)
        try:
            import hvac
        except ImportError:
            raise MissingExtra.package("hvac", "vault") from None
        self._hvac: Any = hvac
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
        data = self._ask("encrypt", plaintext=_b64(key), associated_data=_b64(aad))
        ciphertext = data.get("ciphertext")
        if not isinstance(ciphertext, str):
            raise _odd_reply(self._what)
        return ciphertext.encode()

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        text = wrapped.decode("ascii", "replace")
        plaintext = self._ask("decrypt", ciphertext=text, associated_data=_b64(aad)).get("plaintext")
        try:
            return base64.b64decode(plaintext or "%", validate=True)
        except (TypeError, binascii.Error, ValueError):
            raise _odd_reply(self._what) from None

    def _ask(self, verb: str, **fields: str) -> dict[str, Any]:
        transit = self._client().secrets.transit
        ask = transit.encrypt_data if verb == "encrypt" else transit.decrypt_data
        answer = _asked(
            lambda: self._answer(verb, lambda: ask(self._key, mount_point=self._mount, **fields)),
            self._what,
            self._sleep,
        )
        data = answer.get("data") if isinstance(answer, dict) else None
        return data if isinstance(data, dict) else {}

    def _client(self) -> Any:
        token = self._environ.get("VAULT_TOKEN")
        if not token:
            raise StoreError("The keys of this home are wrapped by Vault, and VAULT_TOKEN is not set.")
        # the token is for the address that was configured, and for no other
        return self._hvac.Client(
            url=self._address,
            token=token,
            namespace=self._namespace or None,
            timeout=self._timeout_s,
            allow_redirects=False,
            ignore_exceptions=True,  # its exceptions do not say which status an answer had
        )

    def _answer(self, verb: str, ask: Callable[[], Any]) -> Any:
        from requests import RequestException

        try:
            answer = ask()
        except RequestException as error:
            raise _Busy(_in_words(error)) from None
        if isinstance(answer, dict):
            return answer
        status = answer.status_code
        if status == 200:
            raise _odd_reply(self._what)
        if status >= 500 or status in _TRY_AGAIN:
            raise _Busy(f"HTTP {status}")
        errors = _errors_of(answer)
        if verb == "decrypt" and _says_changed(errors):
            raise Tampered(f"A key wrapped by {self.key_id} does not open: {errors}.")
        why = errors or f"HTTP {status}"
        raise StoreError(f"{self._what} refuses to {verb} with {self.key_id}: {why}.")


def _errors_of(response: Any) -> str:
    """The errors that Vault names in a response."""
    try:
        said = response.json()
    except ValueError:
        return ""
    errors = said.get("errors") if isinstance(said, dict) else None
    return "; ".join(map(str, errors)) if isinstance(errors, list) else ""


def _says_changed(errors: str) -> bool:
    """True where Vault means the ciphertext itself, not a version that its policy or its replica does not open now."""
    return "message authentication failed" in errors or (
        "invalid ciphertext" in errors and "too new" not in errors
    )


def _in_words(error: Exception) -> str:
    """A failure of a connection without addresses and objects."""
    name = type(error).__name__
    if "Timeout" in name:
        return "timed out"
    return "no connection" if "Connect" in name else name


class AwsKek:
    """A symmetric key of AWS KMS. Credentials come from AWS_ACCESS_KEY_ID and its companions at every use; where these
    are not set, from what boto3 finds: a profile, or the role of the instance."""

    kind: ClassVar[str] = "aws-kms"

    def __init__(
        self,
        key: str,
        region: str,
        environ: Mapping[str, str],
        *,
        endpoint: str = "",
        sleep: Sleep = time.sleep,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """
        Args:
            key: key id, ARN or alias/name.
            endpoint: only where it is not the region's public one.

        Raises:
            BadInput: the endpoint has no TLS.
            MissingExtra: boto3 is not installed.
        """
        self._key, self._region, self._endpoint = key, region, endpoint.rstrip("/")
        url = self._endpoint or f"https://kms.{region}.amazonaws.com"
        check_service_address(url, environ)
        try:
            import boto3
            import botocore
        except ImportError:
            raise MissingExtra.package("boto3", "kms") from None
        self._boto3: Any = boto3
        self._botocore: Any = botocore
        self._environ, self._sleep, self._timeout_s = environ, sleep, timeout_s
        self._what = f"AWS KMS at {url}"

    @property
    def key_id(self) -> str:
        return f"aws-kms:{self._key}"

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "key": self._key, "region": self._region, "endpoint": self._endpoint}

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        return self._ask("encrypt", "CiphertextBlob", Plaintext=key, EncryptionContext=self._context(aad))

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        return self._ask("decrypt", "Plaintext", CiphertextBlob=wrapped, EncryptionContext=self._context(aad))

    @staticmethod
    def _context(aad: bytes) -> dict[str, str]:
        # it appears in AWS's own audit trail: a digest says nothing to others and binds as well
        return {"deputize": hashlib.sha256(aad).hexdigest()}

    def _ask(self, action: str, wanted: str, **fields: Any) -> bytes:
        client = self._client()
        try:
            answer = _asked(
                lambda: self._answer(action, lambda: getattr(client, action)(KeyId=self._key, **fields)),
                self._what,
                self._sleep,
            )
        finally:
            client.close()
        value = answer.get(wanted)
        if not isinstance(value, bytes) or not value:
            raise _odd_reply(self._what)
        return value

    def _client(self) -> Any:
        from botocore.config import Config

        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        access, secret, token = (self._environ.get(name) or None for name in names)
        config = Config(
            connect_timeout=self._timeout_s,
            read_timeout=self._timeout_s,
            retries={"total_max_attempts": 1},
            ignore_configured_endpoint_urls=True,  # the endpoint is the one whose TLS was looked at
        )
        session = self._boto3.session.Session(
            aws_access_key_id=access, aws_secret_access_key=secret, aws_session_token=token
        )
        return session.client(
            "kms", region_name=self._region, endpoint_url=self._endpoint or None, config=config
        )

    def _answer(self, action: str, ask: Callable[[], Any]) -> Any:
        exceptions = self._botocore.exceptions
        try:
            return ask()
        except exceptions.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            said = error.response.get("Error", {})
            code = str(said.get("Code", ""))
            if status >= 500 or status in _TRY_AGAIN or "Throttling" in code:
                raise _Busy(f"HTTP {status}") from None
            if code in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise Tampered(f"A key wrapped by {self.key_id} does not open: {code}.") from None
            why = f"{code or f'HTTP {status}'} {said.get('Message', '')}".rstrip()
            raise StoreError(f"{self._what} refuses to {action} with {self.key_id}: {why}.") from None
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
            raise StoreError(
                "The keys of this home are wrapped by AWS KMS, and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set; "
                "no profile and no role of the instance was found either."
            ) from None
        except exceptions.BotoCoreError as error:
            if isinstance(error, exceptions.ParamValidationError):
                raise Tampered(
                    f"A key wrapped by {self.key_id} does not open: it is no ciphertext."
                ) from None
            raise _Busy(_in_words(error)) from None
        except (ValueError, TypeError, AttributeError):  # botocore reads a reply of another form
            raise _odd_reply(self._what) from None


def vault_from_environment(environ: Mapping[str, str]) -> VaultKek:
    """VAULT_ADDR, VAULT_NAMESPACE, DEPUTIZE_VAULT_KEY (default deputize), DEPUTIZE_VAULT_MOUNT (default transit).

    Raises:
        BadInput: VAULT_ADDR is not set.
        MissingExtra: hvac is not installed.
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
        MissingExtra: boto3 is not installed.
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
