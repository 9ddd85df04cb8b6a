"""A broker that asks who one is: SASL over TLS on one port, client certificates on another."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AclOperation
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipelinekit.devstack import ports
from pipelinekit.devstack.kafka import Kafka

USER, PASSWORD = "alice", "s3cret of alice"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def made(cls, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, _signed(name, key, name, key, is_authority=True))

    def issue(self, name: str, folder: Path, *, password: bytes | None = None) -> Path:
        """A key and its certificate for 127.0.0.1 in one PEM file; gives the file."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        certificate = _signed(name, key, str(issuer), self.key, is_authority=False)
        hidden = (
            serialization.NoEncryption()
            if password is None
            else serialization.BestAvailableEncryption(password)
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden
        )
        path = folder / f"{name}.pem"
        path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def write(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path


class SecuredKafka(Kafka):
    """`sasl` and `mutual` are addresses of its further listeners; `files` holds the PEM files."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        self.sasl = f"{ports.HOST}:{ports.free_port()}"
        self.mutual = f"{ports.HOST}:{ports.free_port()}"
        self.files = folder / "pem"
        self.files.mkdir(parents=True)
        self.authority = Authority.made("test authority")
        self.ca = self.authority.write(self.files / "ca.pem")
        self.authority.issue("server", self.files)

    def command(self) -> list[str]:
        command = super().command()
        configuration = self.folder / "server.properties"
        lines = dict(line.split("=", 1) for line in configuration.read_text().splitlines())
        for name in ("listeners", "advertised.listeners"):
            lines[name] += f",SECURE://{self.sasl},MUTUAL://{self.mutual}"
        lines["listener.security.protocol.map"] += ",SECURE:SASL_SSL,MUTUAL:SSL"
        lines |= {
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.secure.scram-sha-512.sasl.jaas.config": _SCRAM,
            "listener.name.mutual.ssl.client.auth": "required",
            # A topic without rules of its own is everybody's.
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.files / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
        }
        configuration.write_text("".join(f"{k}={v}\n" for k, v in lines.items()))
        return command

    def add_user(self) -> None:
        from confluent_kafka.admin import (
            AdminClient,
            ScramCredentialInfo,
            ScramMechanism,
            UserScramCredentialUpsertion,
        )

        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        information = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        wanted = UserScramCredentialUpsertion(USER, information, PASSWORD.encode())
        admin.alter_user_scram_credentials([wanted])[USER].result()

    def allow(self, user: str, operation: AclOperation, topic: str) -> None:
        """Let the user do this with the topic, and nobody anything else with it."""
        from confluent_kafka.admin import (
            AclBinding,
            AclPermissionType,
            AdminClient,
            ResourcePatternType,
            ResourceType,
        )

        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        rule = AclBinding(
            ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{user}", "*",
            operation, AclPermissionType.ALLOW,
        )  # fmt: skip
        admin.create_acls([rule])[rule].result()


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        address = x509.IPAddress(ipaddress.ip_address(ports.HOST))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
