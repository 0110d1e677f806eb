"""TLS on either side: certificates of a made-up authority, good ones, wrong ones, none."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.integration.gateway.upstream import (
    LoopbackUpstream,
    Stream,
    completion,
    loopback_upstream,
    text_stream,
)

from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Call
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import GatewaySettings, read_settings
from deputize.upstreams.failover import RetryConfig
from deputize.upstreams.upstream_config import UpstreamConfig

Recorded = Callable[[int], list[Call]]
BODY = {"model": "big", "messages": [{"role": "user", "content": "q"}]}
Names = list[x509.GeneralName]


class Authority:
    """Makes certificates; `ca_file` is what those who trust it need."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(self.name, self._key, [], ca=True)
        self.ca_file = folder / f"{name}-ca.pem"
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, names: Names, *, ca: bool = False
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if ca:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, *names: str) -> tuple[Path, Path]:
        """Files of a certificate for these hosts and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives: Names = [
            x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names
        ]
        certificate = self._sign(subject, key, alternatives)
        files = self.folder / f"{names[0]}.pem", self.folder / f"{names[0]}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "made-up")


def context_of(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return context


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[LoopbackUpstream]:
    """An upstream with a certificate for its own address."""
    async with loopback_upstream(tls=context_of(authority.issue("127.0.0.1", "localhost"))) as upstream:
        yield upstream


def settings_to(url: str, ca_file: str = "", **more: str) -> GatewaySettings:
    config = UpstreamConfig(base_url=url, ca_file=ca_file)
    return GatewaySettings.model_validate({"upstreams": (config,), "retry": RetryConfig(attempts=1), **more})


@pytest.mark.parametrize("http_client", ["own", "aiohttp"])
async def test_an_upstream_with_a_certificate_of_our_own_authority(
    home: Path, secure: LoopbackUpstream, authority: Authority, recorded: Recorded, http_client: str
) -> None:
    secure.answer_with(completion("safe"), Stream(text_stream("sa", "fe")))
    settings = settings_to(secure.base_url, str(authority.ca_file), http_client=http_client)
    async with (
        running_gateway(home, settings=settings) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        whole = await client.post("/chat/completions", body=BODY, cast_to=object)
        stream = await client.chat.completions.create(**BODY, stream=True)  # type: ignore[call-overload]
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "safe"
    assert whole["choices"][0]["message"]["content"] == "safe"  # type: ignore[index]
    assert len(recorded(2)) == 2


@pytest.mark.parametrize("http_client", ["own", "aiohttp"])
@pytest.mark.parametrize(
    ("trusts", "host", "why"),
    [
        ("nobody", "127.0.0.1", "certificate"),
        ("other", "127.0.0.1", "certificate"),
        ("made-up", "other.name", "mismatch"),
    ],
)
async def test_a_wrong_certificate_is_a_502_that_says_so(
    home: Path,
    authority: Authority,
    tmp_path: Path,
    recorded: Recorded,
    trusts: str,
    host: str,
    why: str,
    http_client: str,
) -> None:
    """Unknown authority, another authority, a certificate for somebody else: nothing is sent, the reason is told."""
    ca_file = {"nobody": "", "made-up": str(authority.ca_file)}.get(trusts)
    if ca_file is None:
        ca_file = str(Authority(tmp_path, "other").ca_file)
    async with loopback_upstream(tls=context_of(authority.issue(host))) as upstream:
        settings = settings_to(upstream.base_url, ca_file, http_client=http_client)
        async with (
            running_gateway(home, settings=settings) as base_url,
            aiohttp.ClientSession() as session,
            session.post(f"{base_url}/v1/chat/completions", json=BODY) as reply,
        ):
            message = (await reply.json())["error"]["message"]
        assert reply.status == 502 and "cannot be reached safely" in message and why in message
        assert not upstream.seen
    assert recorded(1)[0].status == 502


async def test_clients_are_met_with_a_certificate(
    home: Path, upstream: LoopbackUpstream, authority: Authority, recorded: Recorded
) -> None:
    """HTTPS to the gateway: whole and streamed answers, several on one connection; plain HTTP gets nothing."""
    certificate, key = authority.issue("127.0.0.1")
    upstream.script = lambda seen: (
        Stream(text_stream("sa", "fe")) if seen.json.get("stream") else completion("safe")
    )
    settings = settings_to(upstream.base_url, tls_cert_file=str(certificate), tls_key_file=str(key))
    trusting = ssl.create_default_context(cafile=str(authority.ca_file))
    async with running_gateway(home, settings=settings) as base_url:
        assert base_url.startswith("https://")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting, limit=1)) as session:
            for stream in (False, True, False):
                async with session.post(
                    f"{base_url}/v1/chat/completions", json={**BODY, "stream": stream}
                ) as reply:
                    assert reply.status == 200 and b"sa" in await reply.read()
            with pytest.raises(aiohttp.ClientError):
                await session.get(base_url.replace("https", "http") + "/healthz")
            async with session.get(f"{base_url}/healthz") as reply:
                assert reply.status == 200
        async with aiohttp.ClientSession() as distrusting:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await distrusting.get(f"{base_url}/healthz")
    assert len(recorded(3)) == 3


def test_files_that_cannot_be_used_are_named(home: Path, authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for ca_file, why in ((empty, "no certificate"), (tmp_path / "none.pem", "No such file")):
        with pytest.raises(UsageError, match=why):
            UpstreamConfig(base_url="https://h", ca_file=str(ca_file)).tls()
    certificate, _ = authority.issue("one")
    _, key = authority.issue("two")
    with pytest.raises(UsageError, match="do not belong together"):
        settings_to("http://h", tls_cert_file=str(certificate), tls_key_file=str(key)).tls()
    assert settings_to("http://h").tls() is None
    home.mkdir()
    (home / "config.toml").write_text('[gateway]\ntls_cert_file = "x"\n')
    with pytest.raises(BadInput, match="go together"):
        read_settings(home)
