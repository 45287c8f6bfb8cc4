"""The `actbench` command: dispatches on its first word. Importing it imports neither torch nor Hydra."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from actbench import __version__
from actbench.command import complaints
from actbench.errors import UserError


def main() -> None:
    """The console script.

    A command that a signal has stopped ends by that signal, once everything is written and closed, so that a loop of
    the shell around it stops, too; the shell says 130 or 143, as if that had been the exit code.
    """
    _print_in_any_locale()
    stopped_by: list[int] = []
    atexit.register(_end_by, stopped_by)  # what is registered later is run before
    try:
        sys.exit(_main(sys.argv[1:]))
    except SystemExit as ended:
        stopped_by += [number for number in (signal.SIGINT, signal.SIGTERM) if ended.code == 128 + number]
        raise
    except UserError as error:
        sys.exit(complaints.complain(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        stopped_by.append(signal.SIGINT)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # `actbench list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:  # wherever it is written
        sys.exit(complaints.complain(complaints.of_the_disk(error)))
    except Exception as error:
        if os.environ.get("ACTBENCH_TRACEBACK"):
            raise
        sys.exit(complaints.complain(complaints.of_a_fault(error)))


def _print_in_any_locale() -> None:
    """What an encoding such as latin-1 does not have becomes a question mark, and is no error."""
    if (sys.stdout.encoding or "").lower().replace("-", "") != "utf8" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")


def _end_by(signals: Sequence[int]) -> None:
    for number in signals:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it any more
                stream.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _main(argv: Sequence[str]) -> int:
    if argv[:1] == ["list"]:
        from actbench.command import listing

        return listing.show(argv[1:])
    if argv[:1] == ["report"]:
        from actbench.command import arguments

        asked = arguments.report(argv[1:])
        from actbench.report import command as report

        return report.main(asked)
    if argv[:1] == ["open"]:
        from actbench.command import opening

        return opening.main(argv[1:])
    if argv[:1] == ["more"]:
        from actbench.command import more

        return more.main(argv[1:])
    if argv[:1] == ["kernels"]:
        from actbench.command import arguments

        asked = arguments.kernels(argv[1:])
        from actbench.command import conf_source
        from actbench.kernels import command as kernels

        return kernels.main(asked, conf_source.activations(asked.activations))
    if argv[:1] == ["try"]:
        from actbench.command import remedies

        return remedies.main(argv[1:])
    if argv[:1] == ["completion"]:
        from actbench.command import shells

        return shells.main(argv[1:])
    if argv[:1] == ["--version"]:
        print(f"actbench {__version__}")
        return 0
    if "--help" in argv or "-h" in argv:
        from actbench.command import help as usage

        return usage.show()
    if not argv:
        from actbench.command import help as usage

        print(*usage.of_a_bare_command(), sep="\n", file=sys.stderr)
    from actbench.command import launch

    return launch.launch(argv)
