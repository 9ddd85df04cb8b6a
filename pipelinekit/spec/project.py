"""A Project: all specs of a folder for one environment, typed, each with its document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from pipelinekit.diagnostics import Span
from pipelinekit.spec.document import Document, Path
from pipelinekit.spec.models.metric import MetricSpec, StageSpec
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.models.testing import TestSpec

LOCAL = "local"
S = TypeVar("S", bound=BaseModel)


class Loaded(NamedTuple, Generic[S]):
    """A spec and the document that it came from.

    `defaulted` names the keys that stand in the project file instead, `defaults` is that file.
    """

    spec: S
    document: Document
    defaulted: frozenset[str] = frozenset()
    defaults: Document | None = None

    def span(self, path: Path, *, key: bool = False) -> Span:
        """The place of a value (of its key), in the project file where that is its origin."""
        if path and path[0] in self.defaulted and self.defaults is not None:
            return self.defaults.span(("defaults", *path), key=key)
        return self.document.span(path, key=key)


class LoadedTest(NamedTuple):
    """A test of a metric; `path` is its place in the document."""

    spec: TestSpec
    document: Document
    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """All specs of a project for one environment, by name.

    `unread` has the file of each (kind, name) that is there and has findings of its own;
    `variables` are those that filled the specs, `declared` those that some environment sets.
    """

    root: FilePath
    environment: str
    is_protected: bool
    sources: Mapping[str, Loaded[SourceSpec]]
    sinks: Mapping[str, Loaded[Any]]
    metrics: Mapping[str, Loaded[MetricSpec]]
    stages: Mapping[str, Loaded[StageSpec]]
    tests: Mapping[str, Sequence[LoadedTest]]
    documents: Mapping[str, Document]
    unread: Mapping[tuple[str, str], str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()

    @property
    def all_metrics(self) -> Mapping[str, Loaded[MetricSpec] | Loaded[StageSpec]]:
        """Metrics over events, then those over another's rows."""
        return {**self.metrics, **self.stages}
