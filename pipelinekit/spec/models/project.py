"""What pipelinekit.yaml may say."""

from typing import Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from pipelinekit.spec.models.metric import EmitSpec, LatenessSpec
from pipelinekit.spec.models.values import Model, Name, Names, no_entries


class DefaultsSpec(Model):
    """What metrics say nothing about."""

    owner: StrictStr | None = None
    sink: Names | None = None
    lateness: LatenessSpec | None = None
    emit: EmitSpec | None = None


class ProjectSpec(Model):
    """pipelinekit.yaml: the project's version, environments and defaults."""

    spec_version: Literal[1]
    defaults: DefaultsSpec = DefaultsSpec()
    environments: dict[Name, dict[str, StrictStr | StrictBool | StrictInt]] = Field(
        default_factory=no_entries
    )
