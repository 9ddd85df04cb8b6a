"""A folder of specs → one Project: every file read, completed from the defaults, and typed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel

from pipelinekit.diagnostics import Diagnostic, Report, Span
from pipelinekit.errors import UsageError
from pipelinekit.spec.decoding import BYTES_MAX
from pipelinekit.spec.document import Document
from pipelinekit.spec.kinds import kind_of, misnamed, sink_model
from pipelinekit.spec.layout import FOLDERS, PROJECT_FILE, overlooked, shown, spec_files, stem
from pipelinekit.spec.models.metric import MetricSpec, StageSpec, metric_model
from pipelinekit.spec.models.project import ProjectSpec
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.models.testing import TestFileSpec
from pipelinekit.spec.project import LOCAL, Loaded, LoadedTest, Project
from pipelinekit.spec.reading import read
from pipelinekit.spec.secrets import secret_variables, without_clear_password
from pipelinekit.spec.shape import shaped
from pipelinekit.spec.variables import filled, refused

_METRIC_DEFAULTS = ("owner", "sink", "lateness", "emit")
S = TypeVar("S", bound=BaseModel)


@dataclass(slots=True, eq=False)
class _Loading:
    root: FilePath
    variables: Mapping[str, Any]
    defaults: Mapping[str, Any]
    defaults_document: Document
    report: Report
    sources: dict[str, Loaded[SourceSpec]] = field(default_factory=dict)
    sinks: dict[str, Loaded[Any]] = field(default_factory=dict)
    metrics: dict[str, Loaded[MetricSpec]] = field(default_factory=dict)
    stages: dict[str, Loaded[StageSpec]] = field(default_factory=dict)
    test_files: list[Loaded[TestFileSpec]] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)
    unread: dict[tuple[str, str], str] = field(default_factory=dict)
    twin: Project | None = None
    is_same_frame: bool = False  # the twin's project file and environment are this one's too

    def twin_document(self, path: FilePath) -> Document | None:
        """What the twin has at the same place."""
        if self.twin is None:
            return None
        place = self.twin.root / path.relative_to(self.root)
        return self.twin.documents.get(shown(place))

    def twin_spec(self, kind: str, path: FilePath, document: Document) -> Loaded[Any] | None:
        """The twin's spec of this very document, if nothing else that fills it differs."""
        if self.twin is None or not self.is_same_frame or (kind, stem(path)) in self.twin.unread:
            return None
        specs: Mapping[str, Mapping[str, Loaded[Any]]] = {
            "source": self.twin.sources, "sink": self.twin.sinks, "metric": self.twin.all_metrics,
        }  # fmt: skip
        known = specs.get(kind, {}).get(stem(path))
        return known if known is not None and known.document is document else None


def load(
    root: FilePath,
    environment: str = LOCAL,
    process_environment: Mapping[str, str] | None = None,
    twin: Project | None = None,
) -> tuple[Project, Report]:
    """The project and all findings about the files as such.

    `process_environment` fills names that the environment leaves open; None: they stay open.
    `twin` is another version of the project, filled in the same way: a file of the same text is not
    read again, and what is taken over keeps the twin's names of files.
    Raises UsageError for an environment that the project doesn't have.
    """
    report = Report()
    document, spec = _project_file(root, report)
    environments = spec.environments if spec is not None else {}
    if spec is not None and environment not in environments and environment != LOCAL:
        raise UsageError(
            f'the project has no environment "{environment}"',
            help=f"its environments are {', '.join(environments) or 'none'}",
        )
    values = dict(environments.get(environment, {}))
    is_protected = bool(values.pop("protected", False))
    defaults = document.data().get("defaults")
    loading = _Loading(
        root=root,
        variables={**(process_environment or {}), **values},
        defaults=defaults if isinstance(defaults, dict) else {},
        defaults_document=document,
        report=report,
        documents={document.file: document},
        twin=twin,
    )
    if twin is not None and environment == twin.environment:
        same = loading.twin_document(root / PROJECT_FILE)
        loading.is_same_frame = same is not None and same.text == document.text
    for folder, path in spec_files(root):
        _load_file(loading, folder, path)
    report.add(*overlooked(root))
    tests = _collect_tests(loading)
    report.metrics = len(loading.metrics) + len(loading.stages)
    project = Project(
        root=root,
        environment=environment,
        is_protected=is_protected,
        sources=loading.sources,
        sinks=loading.sinks,
        metrics=loading.metrics,
        stages=loading.stages,
        tests=tests,
        documents=loading.documents,
        unread=loading.unread,
        variables=loading.variables,
        declared=_declared(environments),
    )
    return project, report


def _declared(environments: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(name for values in environments.values() for name in values) - {"protected"}


def process_variables() -> Mapping[str, str]:
    """The process environment, for the verbs that run something."""
    return dict(os.environ)


def _project_file(root: FilePath, report: Report) -> tuple[Document, ProjectSpec | None]:
    document = _read(root / PROJECT_FILE, report)
    if document.root is None:
        return document, None
    spec, findings = shaped(document, ProjectSpec, "project", document.data())
    report.add(*findings, *refused(document, document.data()), *secret_variables(document))
    return document, spec


def _read(path: FilePath, report: Report, twin: Document | None = None) -> Document:
    """The file's document, its findings noted; the twin itself where that has the same text."""
    file = shown(path)
    report.files += 1
    try:
        with path.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
        if twin is not None and not twin.findings and data == twin.text.encode():
            return twin
        document = read(data, file)
    except OSError as error:
        why = Diagnostic("PK001", f"the file can't be read: {error.strerror}", Span(file))
        document = Document(file, "", None, (why,))
    report.add(*document.findings)
    return document


def _load_file(loading: _Loading, folder: str, path: FilePath) -> None:
    document = _read(path, loading.report, loading.twin_document(path))
    loading.documents[document.file] = document
    before = len(loading.report.findings)
    is_whole = all(f.code == "PK007" for f in document.findings)  # the first of two keys counts
    if document.root is not None and is_whole:
        kind = kind_of(document, folder)
        if isinstance(kind, Diagnostic):
            loading.report.add(kind)
        else:
            if wrong := misnamed(document, kind, path):
                loading.report.add(wrong)
            _load_kind(loading, kind, document, loading.twin_spec(kind, path, document))
    if len(loading.report.findings) > before or not is_whole:
        loading.unread[FOLDERS[folder][0], stem(path)] = document.file


def _load_kind(loading: _Loading, kind: str, document: Document, twin: Loaded[Any] | None) -> None:
    if twin is not None:
        is_stage = isinstance(twin.spec, StageSpec)
        into: Mapping[str, dict[str, Loaded[Any]]] = {
            "source": loading.sources, "sink": loading.sinks,
            "metric": loading.stages if is_stage else loading.metrics,
        }  # fmt: skip
        _keep(loading, into[kind], twin, twin.spec.name)
        return
    match kind:
        case "source":
            _load_source(loading, document)
        case "sink":
            _load_sink(loading, document)
        case "metric":
            _load_metric(loading, document)
        case _:
            spec, findings = shaped(document, TestFileSpec, kind, document.data())
            loading.report.add(*findings)
            if spec is not None:
                loading.test_files.append(Loaded(spec, document))


def _load_source(loading: _Loading, document: Document) -> None:
    done = filled(document, loading.variables)
    loading.report.add(*done.findings)
    spec, findings = shaped(document, SourceSpec, "source", done.data, done.places)
    loading.report.add(*findings)
    if spec is not None:
        _keep(loading, loading.sources, Loaded(spec, document), spec.name)


def _load_sink(loading: _Loading, document: Document) -> None:
    done = filled(document, loading.variables)
    loading.report.add(*done.findings)
    model = sink_model(document, done.data)
    if isinstance(model, Diagnostic):
        loading.report.add(model)
        return
    data, in_clear = without_clear_password(document, done.data)
    spec, findings = shaped(document, model, "sink", data, done.places)
    loading.report.add(*in_clear, *findings)
    if spec is not None:
        _keep(loading, loading.sinks, Loaded(spec, document), spec.name)


def _load_metric(loading: _Loading, document: Document) -> None:
    data = document.data()
    if "${" in document.text:
        said = {k: v for k, v in data.items() if k not in ("tests", "description")}
        loading.report.add(*refused(document, said))
    if metric_model(data) is StageSpec:
        stage, findings = shaped(document, StageSpec, "metric", data)
        loading.report.add(*findings)
        if stage is not None:
            _keep(loading, loading.stages, Loaded(stage, document), stage.name)
        return
    defaulted = [k for k in _METRIC_DEFAULTS if k in loading.defaults and k not in data]
    data |= {key: loading.defaults[key] for key in defaulted}
    spec, findings = shaped(document, MetricSpec, "metric", data)
    # What is wrong with a default is said once, where it stands.
    wrong = tuple(defaulted)
    loading.report.add(*(f for f in findings if not f.path.startswith(wrong) or not wrong))
    if spec is not None:
        loaded = Loaded(spec, document, frozenset(defaulted), loading.defaults_document)
        _keep(loading, loading.metrics, loaded, spec.name)


def _keep(loading: _Loading, into: dict[str, Loaded[S]], loaded: Loaded[S], name: str) -> None:
    metrics = (loading.metrics, loading.stages)
    taken = [names[name] for names in (metrics if into in metrics else (into,)) if name in names]
    if not taken:
        into[name] = loaded
        return
    first = taken[0].document.file
    message = f'the name "{name}" is taken already, in {first}'
    place = loaded.span(("name",))
    loading.report.add(Diagnostic("PK107", message, place, "rename one of the two", "name"))


def _collect_tests(loading: _Loading) -> dict[str, list[LoadedTest]]:
    tests: dict[str, list[LoadedTest]] = {}
    metrics: dict[str, Loaded[Any]] = {**loading.metrics, **loading.stages}
    for name, metric in metrics.items():
        tests[name] = [
            LoadedTest(test, metric.document, ("tests", place))
            for place, test in enumerate(metric.spec.tests)
        ]
    for file in loading.test_files:
        name = file.spec.metric
        if name in tests:
            tests[name] += [
                LoadedTest(test, file.document, ("tests", place))
                for place, test in enumerate(file.spec.tests)
            ]
        elif ("metric", name) not in loading.unread:
            help = "name the metric that these tests are of"
            place = file.span(("metric",))
            message = f'there is no metric "{name}"'
            loading.report.add(Diagnostic("PK601", message, place, help, "metric"))
    return tests
