"""The command `pipelinekit`: finds the verb, loads only that one, and turns errors into codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys

import click

from pipelinekit.cli.garbage import uncollected
from pipelinekit.cli.plugins import forgo_plugins
from pipelinekit.errors import Bug, PipelinekitError, Refused, Unreachable, UsageError

# verb → (module, attribute, one line of help), in the order of a day's work
VERBS: dict[str, tuple[str, str, str]] = {
    "init": ("init", "init", "Make a new project of specs."),
    "validate": ("validate", "validate", "Check specs: all findings at once."),
    "test": ("test", "test", "Run the specs' tests with time."),
    "list": ("list_specs", "list_specs", "List sources, metrics and sinks."),
    "fmt": ("fmt", "fmt", "Put spec files into one form."),
    "plan": ("plan", "plan", "Show what would run, as canonical text."),
    "diff": ("diff", "diff", "Say what a change of specs means."),
    "simulate": ("simulate", "simulate", "Say how late events come, and what to allow for."),
    "explain": ("explain", "explain", "Explain the code of a finding."),
    "schema": ("schema", "schema", "Print a JSON Schema, for editors."),
    "up": ("up", "up", "Start the local stack: Kafka, ClickHouse."),
    "down": ("down", "down", "Stop the local stack."),
    "load": ("load", "load", "Send generated events to a topic."),
    "ddl": ("ddl", "ddl", "Show, apply or check tables and topics."),
    "run": ("run", "run", "Run metrics, on this machine or a runner."),
    "dlq": ("dlq", "dlq", "Show the dead letters: how many, why, which."),
    "compile": ("compile_job", "compile_job", "Write jobs as files for a runner."),
    "submit": ("submit", "submit", "Hand compiled jobs to their runner."),
    "status": ("status", "status", "Show how submitted jobs fare."),
    "stop": ("stop", "stop", "Stop a submitted job, with or without a savepoint."),
    "doctor": ("doctor", "doctor", "Say what is missing, and how to get it."),
    "demo": ("demo", "demo", "Watch it all work for half a minute."),
}
# What a file system says no with: not ours to mend.
_OUTSIDE = (
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EROFS),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG),
)
_INTERRUPTED = 130


class Verbs(click.Group):
    """A group that imports a verb's module when it is called, and none for the list."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, attribute, _ = VERBS[cmd_name]
        with uncollected():
            loaded = importlib.import_module(f"pipelinekit.cli.{module}")
        command: click.Command = getattr(loaded, attribute)
        if all(parameter.name != "verbose" for parameter in command.params):
            command.params.append(_verbose())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, _, text) in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(f"there is no verb {args[0]}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: pipelinekit init shop && cd shop && pipelinekit test",
)
@click.version_option(package_name="pipelinekit")
def cli() -> None:
    """Declarative real-time metrics: YAML specs become exact event-time aggregates."""


def main() -> None:
    """Run the command and exit: 0 fine, 1 findings, 2 wrong use, 3 unreachable, 4 a bug."""
    sys.exit(_exit_code())


def _exit_code() -> int:
    forgo_plugins()
    try:
        result = cli.main(standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort:
        return _INTERRUPTED
    except click.ClickException as wrong:
        wrong.show()
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output went first: | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _INTERRUPTED
    except UsageError as error:
        return _said(error, 2)
    except (Unreachable, Refused) as error:
        return _said(error, 3)
    except OSError as error:
        return _not_allowed(error) if error.errno in _OUTSIDE else _bug(error)
    except Exception as error:
        return _bug(error)
    return result if isinstance(result, int) else 0


def _verbose() -> click.Option:
    """The option of verbs that have nothing more to say than the traceback of a bug."""
    return click.Option(
        ["-v", "--verbose"], is_flag=True, expose_value=False, help="Show tracebacks."
    )


def _said(error: PipelinekitError, code: int) -> int:
    print(f"error: {error.message}", file=sys.stderr)
    if error.help:
        print(f"  help: {error.help}", file=sys.stderr)
    return code


def _not_allowed(error: OSError) -> int:
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    _show_traceback(error)
    return _said(UsageError(what, help="name a place that can be read and written"), 2)


def _show_traceback(error: Exception) -> bool:
    """Whether it was asked for, and printed."""
    if not (os.environ.get("PIPELINEKIT_TRACEBACK") or {"-v", "--verbose"} & {*sys.argv}):
        return False
    import traceback

    traceback.print_exception(error)
    return True


def _bug(error: Exception) -> int:
    what = error.message if isinstance(error, Bug) else f"{type(error).__name__}: {error}"
    print(f"error: this is a bug of pipelinekit: {what}", file=sys.stderr)
    if not _show_traceback(error):
        print("  help: run it again with -v, and report what it prints", file=sys.stderr)
    return 4


if __name__ == "__main__":
    main()
