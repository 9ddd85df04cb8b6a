"""How Kafka and we know each other, in sources and sinks."""

from typing import Literal

from pydantic import StrictBool, StrictStr

from pipelinekit.spec.models.values import Model, Secret


class Sasl(Model):
    """Who we are, by name and password; always over TLS."""

    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    username: StrictStr
    password: Secret


class Tls(Model):
    """Whom we trust, and who we are by certificate; PEM files on every machine that runs it."""

    ca: StrictStr | None = None
    certificate: StrictStr | None = None
    key: StrictStr | None = None
    key_password: Secret | None = None
    verify_hostname: StrictBool = True


class SecuritySpec(Model):
    """How Kafka's brokers and we know each other; without it in clear and without a name."""

    sasl: Sasl | None = None
    tls: Tls = Tls()
