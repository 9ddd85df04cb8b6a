"""A folder of specs → one Project: every file read, completed from the defaults, and typed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from pipelinekit.diagnostics import Diagnostic, Report, Span
from pipelinekit.errors import UsageError
from pipelinekit.spec.document import Document, Path, read
from pipelinekit.spec.models import (
    SINK_MODELS,
    MetricSpec,
    ProjectSpec,
    SinkSpec,
    SourceSpec,
    TestFileSpec,
    TestSpec,
)
from pipelinekit.spec.shape import NOT_BUILT_KINDS, dotted, shaped

PROJECT_FILE = "pipelinekit.yaml"
LOCAL = "local"
KINDS = ("source", "sink", "metric", "test")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SPLIT_DEFAULTS = ("owner", "sink", "lateness", "emit")
S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A spec and the document that it came from."""

    spec: S
    document: Document

    def span(self, *path: str | int, key: bool = False) -> Span:
        return self.document.span(path, key=key)


@dataclass(frozen=True, slots=True)
class LoadedTest:
    """A test of a metric; `path` is its place in the document."""

    spec: TestSpec
    document: Document
    path: Path


@dataclass(frozen=True, slots=True)
class Project:
    """All specs of a project for one environment, by name."""

    root: FilePath
    environment: str
    is_protected: bool
    sources: Mapping[str, Loaded[SourceSpec]]
    sinks: Mapping[str, Loaded[Any]]
    metrics: Mapping[str, Loaded[MetricSpec]]
    tests: Mapping[str, Sequence[LoadedTest]]
    documents: Mapping[str, Document]


@dataclass(slots=True)
class _Loading:
    root: FilePath
    environment: str
    variables: Mapping[str, Any]
    defaults: Mapping[str, Any]
    report: Report
    sources: dict[str, Loaded[SourceSpec]] = field(default_factory=dict)
    sinks: dict[str, Loaded[Any]] = field(default_factory=dict)
    metrics: dict[str, Loaded[MetricSpec]] = field(default_factory=dict)
    test_files: list[Loaded[TestFileSpec]] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)


def find_root(start: FilePath) -> FilePath:
    """The folder that holds pipelinekit.yaml, from `start` upwards. Raises UsageError."""
    start = start.resolve()
    for folder in [start, *start.parents] if start.is_dir() else start.parents:
        if (folder / PROJECT_FILE).is_file():
            return folder
        if (folder / "specs" / PROJECT_FILE).is_file():
            return folder / "specs"
    raise UsageError(
        f"no {PROJECT_FILE} in {start} or above it",
        help="make a project with `pipelinekit init NAME`, or name its folder",
    )


def load(
    root: FilePath, environment: str = LOCAL, process_environment: Mapping[str, str] | None = None
) -> tuple[Project, Report]:
    """The project and all findings about the files as such.

    `process_environment` fills names that the environment leaves open; None: they stay open.
    Raises UsageError for an environment that the project doesn't have.
    """
    report = Report()
    file = _shown(root / PROJECT_FILE)
    document = read((root / PROJECT_FILE).read_bytes(), file)
    report.files += 1
    report.add(*document.findings)
    spec: ProjectSpec | None = None
    if document.root is not None:
        spec, findings = shaped(document, ProjectSpec, "project", document.data())
        report.add(*findings)
    environments = spec.environments if spec is not None else {}
    if spec is not None and environment not in environments and environment != LOCAL:
        raise UsageError(
            f'the project has no environment "{environment}"',
            help=f"its environments are {', '.join(environments) or 'none'}",
        )
    values = dict(environments.get(environment, {}))
    is_protected = bool(values.pop("protected", False))
    data = document.data()
    defaults = data.get("defaults") if isinstance(data.get("defaults"), dict) else {}
    assert isinstance(defaults, dict)
    loading = _Loading(
        root=root,
        environment=environment,
        variables={**(process_environment or {}), **values},
        defaults={k: v for k, v in defaults.items() if k in _SPLIT_DEFAULTS},
        report=report,
    )
    loading.documents[file] = document
    for path in _files(root):
        _load_file(loading, path)
    tests = _collect_tests(loading)
    report.metrics = len(loading.metrics)
    return (
        Project(
            root=root,
            environment=environment,
            is_protected=is_protected,
            sources=loading.sources,
            sinks=loading.sinks,
            metrics=loading.metrics,
            tests=tests,
            documents=loading.documents,
        ),
        report,
    )


def _files(root: FilePath) -> Iterable[FilePath]:
    for folder in ("sources", "sinks", "metrics"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".yaml", ".yml") and path.is_file():
                yield path


def _shown(path: FilePath) -> str:
    """The path as a user would type it: from the current folder where it lies below."""
    try:
        return str(path.resolve().relative_to(FilePath.cwd()))
    except ValueError:
        return str(path)


def _load_file(loading: _Loading, path: FilePath) -> None:
    file = _shown(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        finding = Diagnostic("PK001", f"can't be read: {error.strerror}", Span(file))
        loading.report.add(finding)
        return
    document = read(data, file)
    loading.documents[file] = document
    loading.report.files += 1
    loading.report.add(*document.findings)
    if document.root is None:
        return
    kind = document.data().get("kind")
    if kind in NOT_BUILT_KINDS:
        message = f"{NOT_BUILT_KINDS[str(kind)]} can't be used yet: the language has them, this "
        loading.report.add(
            Diagnostic("PK110", message + "version does not build them", document.span(("kind",)))
        )
    elif kind not in KINDS:
        where = document.span(("kind",))
        message = f'"{kind}" is not a kind of file' if kind else '"kind" is missing'
        help = f"the kinds are {', '.join(KINDS)}"
        loading.report.add(Diagnostic("PK100", message, where, help, "kind"))
    elif not document.findings or all(f.code == "PK007" for f in document.findings):
        _load_kind(loading, str(kind), document, path)


def _load_kind(loading: _Loading, kind: str, document: Document, path: FilePath) -> None:
    data = document.data()
    if kind in ("source", "sink"):
        data = _filled(loading, document, data, ())
    if kind != "test":
        _check_stem(loading, kind, document, path)
    match kind:
        case "source":
            _keep(loading, loading.sources, document, SourceSpec, kind, data)
        case "sink":
            model = _sink_model(loading, document, data)
            if model is not None:
                data = _without_clear_password(loading, document, data)
                _keep(loading, loading.sinks, document, model, kind, data)
        case "metric":
            for name, value in loading.defaults.items():
                data.setdefault(name, value)
            _keep(loading, loading.metrics, document, MetricSpec, kind, data)
        case _:
            spec, findings = shaped(document, TestFileSpec, kind, data)
            loading.report.add(*findings)
            if spec is not None:
                loading.test_files.append(Loaded(spec, document))


def _keep(
    loading: _Loading,
    into: dict[str, Loaded[S]],
    document: Document,
    model: type[S],
    kind: str,
    data: Mapping[str, Any],
) -> None:
    spec, findings = shaped(document, model, kind, data)
    loading.report.add(*findings)
    if spec is None:
        return
    name: str = spec.name  # type: ignore[attr-defined]
    if name in into:
        first = into[name].document.file
        message = f'a {kind} named "{name}" is there already, in {first}'
        loading.report.add(
            Diagnostic("PK107", message, document.span(("name",)), "rename one", "name")
        )
        return
    into[name] = Loaded(spec, document)


def _sink_model(
    loading: _Loading, document: Document, data: Mapping[str, Any]
) -> type[SinkSpec] | None:
    kind = data.get("type")
    if isinstance(kind, str) and kind in SINK_MODELS:
        return SINK_MODELS[kind]
    if isinstance(kind, str) and kind in ("bigquery", "parquet"):
        what = {"bigquery": "the BigQuery sink", "parquet": "the Parquet sink"}[kind]
        message = f"{what} can't be used yet: the language has it, this version does not build it"
        loading.report.add(Diagnostic("PK110", message, document.span(("type",)), None, "type"))
        return None
    place = document.span(("type",)) if "type" in data else document.span(("kind",), key=True)
    message = f'"{kind}" is not a type of sink' if kind else '"type" is missing'
    help = f"the types are {', '.join(SINK_MODELS)}"
    loading.report.add(Diagnostic("PK403", message, place, help, "type"))
    return None


def _without_clear_password(
    loading: _Loading, document: Document, data: dict[str, Any]
) -> dict[str, Any]:
    """The data, a password in clear noted and taken out: no other finding may quote it."""
    if not isinstance(data.get("password"), str):
        return data
    loading.report.add(
        Diagnostic(
            "PK407",
            "a password stands here in clear",
            document.span(("password",)),
            "write password: { secret: NAME } and set NAME where it runs",
            "password",
        )
    )
    return {k: v for k, v in data.items() if k != "password"}


def _check_stem(loading: _Loading, kind: str, document: Document, path: FilePath) -> None:
    name = document.data().get("name")
    stem = path.name.split(".")[0]
    if isinstance(name, str) and name != stem:
        loading.report.add(
            Diagnostic(
                "PK108",
                f'the {kind} is named "{name}", its file "{path.name}"',
                document.span(("name",)),
                f"name the file {name}.yaml, or the {kind} {stem}",
                "name",
            )
        )


def _filled(loading: _Loading, document: Document, value: Any, path: Path) -> Any:
    """The value with `${NAME}` filled where the name is known; open ones stay."""
    if isinstance(value, dict):
        return {k: _filled(loading, document, v, (*path, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(loading, document, v, (*path, i)) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    found = _VARIABLE.fullmatch(value)
    if not found:
        loading.report.add(
            Diagnostic(
                "PK405",
                f'"{value}" is not one whole ${{NAME}}',
                document.span(path),
                "let the environment hold the whole value",
                dotted(path),
            )
        )
        return value
    name, default = found.groups()
    if name in loading.variables:
        return _typed(loading.variables[name])
    return value if default is None else _typed(default)


def _typed(value: Any) -> Any:
    """A variable's text read as the scalar that it would be in YAML."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}", value):
        return int(value)
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def open_variables(project: Project, names: Iterable[str]) -> list[str]:
    """The names among a plan's settings that no environment fills."""
    text = " ".join(names)
    return sorted({found[1] for found in _VARIABLE.finditer(text)})


def _collect_tests(loading: _Loading) -> dict[str, list[LoadedTest]]:
    tests: dict[str, list[LoadedTest]] = {}
    for name, metric in loading.metrics.items():
        tests[name] = [
            LoadedTest(test, metric.document, ("tests", place))
            for place, test in enumerate(metric.spec.tests)
        ]
    for file in loading.test_files:
        name = file.spec.metric
        if name not in tests:
            loading.report.add(
                Diagnostic(
                    "PK601",
                    f'there is no metric "{name}"',
                    file.span("metric"),
                    "name the metric that these tests are of",
                    "metric",
                )
            )
            continue
        tests[name] += [
            LoadedTest(test, file.document, ("tests", place))
            for place, test in enumerate(file.spec.tests)
        ]
    return tests


def process_variables() -> Mapping[str, str]:
    """The process environment, for the verbs that run something."""
    return dict(os.environ)
