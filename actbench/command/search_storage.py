"""Where Optuna keeps the trials of a search: a SQLite file in the study's folder, or a database with an address."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actbench.command.search_space import without_warnings
from actbench.errors import Problem, in_a_line, without_password

AUTO = "auto"
KEY = "hydra.sweeper.storage"
FILE = "search.db"
_PACKAGES = {"psycopg2": "psycopg2-binary", "psycopg": "actbench[search]", "MySQLdb": "mysqlclient"}
_ANSWERS = 10  # seconds that a server has to answer
_EXAMPLES = "sqlite:///search.db, or postgresql://USER@HOST/DATABASE"
_ATTEMPTS = 10


def address(storage: str | None, folder: Path) -> str | None:
    """The URL of the database for the search in a study's folder; None where trials are kept in memory alone."""
    if storage is None:
        return None
    if storage == AUTO:
        return f"sqlite:///{folder / FILE}"
    return _with_driver(storage)


def _with_driver(url: str) -> str:
    """`postgresql://` by the driver that is installed: SQLAlchemy would take psycopg2 alone."""
    from importlib.util import find_spec

    kind, separator, rest = url.partition("://")
    if kind in ("postgresql", "postgres") and separator and not find_spec("psycopg2"):
        return f"postgresql+psycopg://{rest}"
    return f"postgresql://{rest}" if kind == "postgres" else url


def opened(url: str | None) -> Any:
    """Optuna's storage for a URL.

    Several processes may open a new database at once: one makes the tables, for the others that fails, and they try
    again.
    """
    import optuna

    if url is None:
        return optuna.storages.InMemoryStorage()
    for attempt in range(_ATTEMPTS):
        try:
            with without_warnings():
                return optuna.storages.RDBStorage(url, engine_kwargs=_engine(url))
        except Exception:  # of the driver, in many kinds
            if attempt == _ATTEMPTS - 1 or problem(url) is not None:
                raise
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError


def _engine(url: str) -> dict[str, Any]:
    """A trial lasts long enough for a connection to be closed meanwhile: it is tried before it is used."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 60}}
    known = url.startswith(("postgresql", "mysql"))
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": _ANSWERS} if known else {}}


def attributes(url: str, name: str) -> dict[str, Any]:
    """Those of the study of this name; none where there is no such study, or no table yet. Nothing is created.

    Raises:
        Exception: whatever SQLAlchemy or Optuna says.
    """
    import optuna
    import sqlalchemy

    if url.startswith("sqlite") and not Path(sqlalchemy.make_url(url).database or "").exists():
        return {}
    engine = sqlalchemy.create_engine(url, **_engine(url))
    there = sqlalchemy.inspect(engine).has_table("studies")
    engine.dispose()
    if not there:
        return {}
    storage = opened(url)
    if name not in [study.study_name for study in optuna.get_all_study_summaries(storage, include_best_trial=False)]:
        return {}
    return dict(optuna.load_study(study_name=name, storage=storage).user_attrs)


# ---------------------------------------------------------------- what is wrong with one


def problem(url: str) -> Problem | None:
    """Why a database cannot be used; None where it can. Nothing is created in it."""
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    where = f"{KEY}={without_password(url.replace('+psycopg:', ':'))}"
    try:
        parsed = sqlalchemy.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return next(_of_file(parsed.database, where), None)
        engine = sqlalchemy.create_engine(url, **_engine(url))
        with engine.connect():
            pass
        engine.dispose()
    except NoSuchModuleError:
        return Problem(f"there is no kind of database called {url.partition(':')[0]}", where, _EXAMPLES)
    except ArgumentError:
        return Problem("is not the address of a database", where, _EXAMPLES)
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(str(error.name), str(error.name))
        return Problem(f"needs a package that is not installed: {error.name}", where, f"pip install '{package}'")
    except (SQLAlchemyError, OSError, ValueError, TypeError) as error:
        said = _said(error)
        how = "the server's address, its port, and whether it runs"
        if "password" in said or "authentication" in said:
            how = "the user's password, also taken from PGPASSWORD or ~/.pgpass"
        elif "does not exist" in said:
            how = "createdb makes one; the name stands at the end of the address"
        return Problem(f"cannot be connected to: {said}", where, how)
    return None


def _said(error: Exception) -> str:
    """What the driver says, in a line."""
    lines = [line.strip() for line in str(getattr(error, "orig", None) or error).strip().splitlines() if line.strip()]
    telling = [line for line in lines if "failed" in line or "FATAL" in line or "timeout" in line]
    words = (telling or lines or [in_a_line(error)])[0]
    return without_password(words.removeprefix("- "))


def _of_file(database: str | None, where: str) -> Iterator[Problem]:
    """Why a file cannot hold a SQLite database."""
    if not database or database == ":memory:":
        yield Problem("is in memory, where no other process finds it", where, f"{KEY}=null, or sqlite:///search.db")
        return
    path = Path(database)
    folder = path.parent
    if path.name == FILE and not folder.exists():  # of the study, which is made with its first run
        folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        yield Problem("its folder does not exist", where, f"mkdir -p {folder}")
    elif path.is_dir():
        yield Problem("is a folder, not a file", where, _EXAMPLES)
    elif not _can_be_written(path, folder):
        yield Problem("cannot be written to", where, "another file; SQLite also needs to write beside it")
    elif path.exists() and path.stat().st_size and not _is_sqlite(path):
        yield Problem("is another file, not a SQLite database", where, "another file")


def _can_be_written(path: Path, folder: Path) -> bool:
    """Tried out: permissions alone do not tell for every user and every file system."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return not path.exists() or os.access(path, os.W_OK)
    except OSError:
        return False


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
