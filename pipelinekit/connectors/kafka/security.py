"""How clients prove who they are, and know whom they talk to: SASL over TLS, TLS certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# librdkafka's names of errors that no waiting cures.
SECURITY_ERRORS = frozenset({"_AUTHENTICATION", "_SSL", "SASL_AUTHENTICATION_FAILED"})
HELP = "check `security` of the source or sink: mechanism, username, the secret, ca, certificate"


@dataclass(frozen=True, slots=True)
class Security:
    """Secrets in clear, so never printed. `ca` None: the system's; files are PEM."""

    mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    verify_hostname: bool = True

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Security:
        """From a plan's `security`, its secrets resolved."""
        sasl: Mapping[str, Any] = settings.get("sasl") or {}
        tls: Mapping[str, Any] = settings.get("tls") or {}
        return cls(**sasl, **tls)

    def options(self) -> dict[str, Any]:
        """librdkafka's options."""
        wanted = {
            "security.protocol": "SASL_SSL" if self.mechanism else "SSL",
            "sasl.mechanism": self.mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
            "ssl.key.password": self.key_password,
            "ssl.endpoint.identification.algorithm": "https" if self.verify_hostname else "none",
        }
        return {name: value for name, value in wanted.items() if value is not None}
