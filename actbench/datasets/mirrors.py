"""Fetches a file from the first mirror that sends it whole, within a time that a person will wait."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from io import BytesIO
from queue import Empty, SimpleQueue
from typing import BinaryIO
from urllib.request import Request, urlopen

from actbench.datasets.on_disk import md5_of
from actbench.files.output import is_in_foreground

PATIENCE = 9.0  # seconds to wait for any mirror to answer, all mirrors together
LARGEST = 200_000_000  # bytes of an archive: the largest there is has 31 million


class Unreachable(Exception):
    """No mirror has sent this file."""


def download(name: str, mirrors: list[str], md5: str) -> tuple[bytes, str]:
    """An archive, and the mirror that it is from.

    Args:
        name: of the archive.
        mirrors: addresses that it is asked for in turn, each with a slash at its end.
        md5: of the archive.

    Raises:
        Unreachable: with what went wrong at each of them.
    """
    reasons = []
    for mirror in mirrors:
        content = BytesIO()
        try:
            with _answer(mirror + name, PATIENCE / len(mirrors)) as response:
                _copy_with_progress(_blocks(response), response.headers.get("Content-Length"), content, name)
            if md5_of(content.getvalue()) != md5:
                raise Unreachable("what it sends has a wrong MD5")
            return content.getvalue(), mirror
        except (Unreachable, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reasons.append(f"{mirror}: {error or type(error).__name__}")
    raise Unreachable("; ".join(reasons))


def _answer(url: str, patience: float) -> http.client.HTTPResponse:
    """The response to a request, or Unreachable within `patience` seconds, even where looking the name up hangs."""
    box: SimpleQueue[http.client.HTTPResponse | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            box.put(urlopen(Request(url, headers={"User-Agent": "actbench"}), timeout=patience))
        except Exception as error:
            box.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = box.get(timeout=patience)
    except Empty:
        raise Unreachable(f"no answer within {patience:.1f} s") from None
    if isinstance(answer, Exception):
        raise Unreachable(str(getattr(answer, "reason", answer))) from answer
    return answer


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What the response sends. Errors of the network become Unreachable, so that those of the disk remain OSErrors."""
    sent = 0
    while True:
        try:
            block = response.read(1 << 16)
        except OSError as error:
            raise Unreachable(error.strerror or str(error)) from error
        if not block:
            return
        sent += len(block)
        if sent > LARGEST:
            raise Unreachable(f"sends more than {LARGEST:,} bytes")
        yield block


def _copy_with_progress(blocks: Iterator[bytes], length: str | None, file: BinaryIO, title: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    size = int(length) if length and length.isdigit() else None
    moving = console.is_terminal and is_in_foreground(console.file)
    with Progress(*columns, console=console, disable=not moving) as progress:
        task = progress.add_task(f"downloading {title}", total=size)
        for block in blocks:
            file.write(block)
            progress.advance(task, len(block))
