"""A folder of specs → one Project: every file read, completed from the defaults, and typed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from pipelinekit.diagnostics import Diagnostic, Report, Span
from pipelinekit.errors import UsageError
from pipelinekit.spec.document import Document, Path, dotted
from pipelinekit.spec.layout import (
    FOLDERS,
    KINDS,
    PROJECT_FILE,
    find_root,
    is_test_file,
    overlooked,
    shown,
    spec_files,
    stem,
)
from pipelinekit.spec.models import (
    NAME,
    SECRET_NAME,
    SINK_MODELS,
    MetricSpec,
    ProjectSpec,
    SinkSpec,
    SourceSpec,
    StageSpec,
    TestFileSpec,
    TestSpec,
    metric_model,
)
from pipelinekit.spec.reading import BYTES_MAX, read
from pipelinekit.spec.shape import shaped
from pipelinekit.spec.unbuilt import NOT_BUILT_KINDS, NOT_BUILT_VALUES, unbuilt
from pipelinekit.spec.variables import filled, refused

__all__ = ["LOCAL", "PROJECT_FILE", "Loaded", "LoadedTest", "Project", "find_root", "load"]
LOCAL = "local"
_METRIC_DEFAULTS = ("owner", "sink", "lateness", "emit")
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN", re.IGNORECASE)
S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
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


@dataclass(frozen=True, slots=True)
class LoadedTest:
    """A test of a metric; `path` is its place in the document."""

    spec: TestSpec
    document: Document
    path: Path


@dataclass(frozen=True, slots=True)
class Project:
    """All specs of a project for one environment, by name.

    `unread` has the file of each (kind, name) that is there and has findings of its own;
    `variables` are those that filled the specs.
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

    @property
    def all_metrics(self) -> Mapping[str, Loaded[MetricSpec] | Loaded[StageSpec]]:
        """Metrics over events, then those over another's rows."""
        return {**self.metrics, **self.stages}


@dataclass(slots=True)
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
    )
    return project, report


def process_variables() -> Mapping[str, str]:
    """The process environment, for the verbs that run something."""
    return dict(os.environ)


def _project_file(root: FilePath, report: Report) -> tuple[Document, ProjectSpec | None]:
    document = _read(root / PROJECT_FILE, report)
    if document.root is None:
        return document, None
    spec, findings = shaped(document, ProjectSpec, "project", document.data())
    report.add(*findings, *refused(document, document.data()), *_secrets(document))
    return document, spec


def _secrets(document: Document) -> Iterator[Diagnostic]:
    """A finding for each variable of an environment whose name says that it is a secret."""
    environments = document.data().get("environments")
    for environment, values in (environments if isinstance(environments, dict) else {}).items():
        for name in values if isinstance(values, dict) else ():
            if _SECRET.search(name):
                path = ("environments", environment, name)
                yield Diagnostic(
                    "PK407",
                    f"{name} is a secret by its name, and this file is not the place for one",
                    document.span(path, key=True),
                    f"delete it, and set the variable {name} where it runs",
                    dotted(path),
                )


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
        kind = _kind(loading, folder, document, path)
        if kind is not None:
            _load_kind(loading, kind, document, loading.twin_spec(kind, path, document))
    if len(loading.report.findings) > before or not is_whole:
        loading.unread[FOLDERS[folder][0], stem(path)] = document.file


def _kind(loading: _Loading, folder: str, document: Document, path: FilePath) -> str | None:
    """The file's kind, if the file lies and is named as that kind does."""
    data = document.data()
    kind = data.get("kind")
    place = document.span(("kind",))
    if isinstance(kind, str) and kind in NOT_BUILT_KINDS:
        loading.report.add(unbuilt(document, ("kind",), NOT_BUILT_KINDS[kind], kind))
        return None
    if not isinstance(kind, str) or kind not in KINDS:
        message = '"kind" is missing'
        if "kind" in data:
            quoted = f'"{kind[:60]}"' if isinstance(kind, str) else "this"
            message = f"{quoted} is not a kind of file"
        help = f"the kinds are {', '.join(KINDS)}"
        loading.report.add(Diagnostic("PK100", message, place, help, "kind"))
        return None
    if kind not in FOLDERS[folder]:
        right = next(name for name, kinds in FOLDERS.items() if kind in kinds)
        message = f"a {kind} does not lie in {folder}/"
        loading.report.add(Diagnostic("PK113", message, place, f"move it to {right}/", "kind"))
        return None
    _check_name(loading, kind, document, path)
    return kind


def _check_name(loading: _Loading, kind: str, document: Document, path: FilePath) -> None:
    """A spec is named as its file is; tests are in `<metric>.test.yaml`."""
    key = "metric" if kind == "test" else "name"
    name = document.data().get(key)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return  # said of the name itself
    if name == stem(path) and is_test_file(path) == (kind == "test"):
        return
    of = "tests are of the metric" if kind == "test" else f"the {kind} is named"
    suffix = ".test.yaml" if kind == "test" else ".yaml"
    message = f'{of} "{name[:60]}", the file is named "{path.name[:80]}"'
    help = f"name the file {name[:60]}{suffix}"
    if kind != "test":
        help += f", or the {kind} {stem(path)}"
    loading.report.add(Diagnostic("PK108", message, document.span((key,)), help, key))


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
    model = _sink_model(loading, document, done.data)
    if model is None:
        return
    data = _without_clear_password(loading, document, done.data)
    spec, findings = shaped(document, model, "sink", data, done.places)
    loading.report.add(*findings)
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


def _sink_model(
    loading: _Loading, document: Document, data: Mapping[str, Any]
) -> type[SinkSpec] | None:
    kind = data.get("type")
    if isinstance(kind, str) and kind in SINK_MODELS:
        return SINK_MODELS[kind]
    not_built = NOT_BUILT_VALUES["sink", ("type",)]
    if isinstance(kind, str) and kind in not_built:
        loading.report.add(unbuilt(document, ("type",), not_built[kind], kind))
        return None
    place = document.span(("type",)) if "type" in data else document.span(("kind",), key=True)
    message = '"type" is missing'
    if "type" in data:
        quoted = f'"{kind[:60]}"' if isinstance(kind, str) else "this"
        message = f"{quoted} is not a type of sink"
    help = f"the types are {', '.join(SINK_MODELS)}"
    loading.report.add(Diagnostic("PK403", message, place, help, "type"))
    return None


def _without_clear_password(
    loading: _Loading, document: Document, data: dict[str, Any]
) -> dict[str, Any]:
    """The data, a password in clear noted and taken out: no other finding may quote it."""
    given = data.get("password")
    if given is None:
        return data
    name = given.get("secret") if isinstance(given, dict) and len(given) == 1 else None
    if isinstance(name, str) and SECRET_NAME.fullmatch(name):
        return data
    loading.report.add(
        Diagnostic(
            "PK407",
            "the password is not given as the name of a secret",
            document.span(("password",)),
            "write password: { secret: NAME } and set the variable NAME where it runs",
            "password",
        )
    )
    return {k: v for k, v in data.items() if k != "password"}


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
