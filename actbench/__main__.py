"""`python -m actbench` is `actbench`: it, too, imports nothing from the current folder that is not trusted."""

import os
import sys

import actbench

_home = os.path.dirname(os.path.dirname(os.path.abspath(actbench.__file__)))
if not getattr(sys.flags, "safe_path", False) and os.path.abspath(sys.path[0]) == os.getcwd() != _home:
    del sys.path[0]

from actbench.cli import main  # noqa: E402

main()
