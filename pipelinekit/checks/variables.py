"""Variables that some environment of the project sets."""

from __future__ import annotations

from collections.abc import Iterable

from pipelinekit.checks.base import Place
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Scalar
from pipelinekit.spec.layout import PROJECT_FILE
from pipelinekit.spec.notes import nearest
from pipelinekit.spec.resolve import Resolved
from pipelinekit.spec.variables import filled, open_names


class VariablesAreSet:
    """One that another environment sets is left to the process here; one that none sets is a slip.

    A warning: a run may still find it in the process's environment.
    """

    code = "PK413"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        project = resolved.project
        if not project.declared:  # all of them come from the process
            return
        known = sorted(project.declared)
        for loaded in (*project.sources.values(), *project.sinks.values()):
            if "${" not in loaded.document.text:
                continue
            for path, text in filled(loaded.document, project.variables).places.items():
                node = loaded.document.node(path)
                if text is not None or not isinstance(node, Scalar):
                    continue
                (name,) = open_names([node.text])
                if name not in project.declared:
                    yield Place(self.code, loaded).warning(
                        f"{name} is set in no environment of {PROJECT_FILE}",
                        path,
                        nearest(name, known, "variable", else_=""),
                    )
