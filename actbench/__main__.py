"""`python -m actbench` is `actbench`."""

from actbench.cli import main

main()
