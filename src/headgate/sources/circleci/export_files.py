"""The files of a usage export: downloaded, unpacked, and read row by row.

Invariant: a signed URL is a secret. It is asked for without the token, if `ways` says that it may be, never stored, and
in no log line, error or metric; what was downloaded is readable by us alone and gone when we are done with it.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import shutil
import ssl
import zlib
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from headgate.core.errors import SourceUnavailable, Unparsable
from headgate.core.metrics import Metrics
from headgate.sources.circleci.api import ApiOptions
from headgate.sources.circleci.usage_csv import Row, read_rows
from headgate.sources.circleci.ways import AddressRequest, FetchRefused, Ways, parts_of

__all__ = ["Downloads", "keep_bad", "pages", "rows"]

PAGE = 500  # rows of one page: some 1,200 observations
_ROUTE = "usage export file"
_DOWNLOAD_SECONDS = 3600.0
_MOST_FILES = 1000
_LINE_MAX = 262_144  # characters; a longer line is no row of an export
_UNSAFE = re.compile(r"[^0-9A-Za-z._-]")


@dataclass(frozen=True, slots=True)
class Downloads:
    """Fetches files from the signed URLs of an export. `max_bytes`: of one file, packed."""

    name: str
    options: ApiOptions
    ways: Ways
    max_bytes: int
    metrics: Metrics

    @asynccontextmanager
    async def fetched(self, urls: Sequence[str]) -> AsyncIterator[list[Path]]:
        """The files in the order of their URLs, until the end of the context.

        Raises SourceUnavailable where one cannot be had; new URLs may help.
        """
        if len(urls) > _MOST_FILES:
            raise SourceUnavailable(f"the usage export has {len(urls)} files, more than {_MOST_FILES}")
        with TemporaryDirectory(prefix="headgate-export-") as folder:
            paths = [Path(folder) / f"{number}.csv.gz" for number in range(len(urls))]
            verify = self._verification()
            for number, (url, path) in enumerate(zip(urls, paths, strict=True)):
                await self._fetch(verify, url, path, f"file {number + 1} of {len(urls)} of the usage export")
            yield paths

    def _verification(self) -> ssl.SSLContext:
        verify = httpx.create_ssl_context()  # files lie elsewhere: the usual authorities are good as well
        try:
            if self.options.ca_file:
                verify.load_verify_locations(cafile=self.options.ca_file)
        except OSError as exc:
            raise SourceUnavailable(f"ca_file {self.options.ca_file} cannot be read: {exc}") from exc
        return verify

    def _client(self, verify: ssl.SSLContext, proxy: str | None) -> httpx.AsyncClient:
        """Connections that carry no token; a redirect is not followed."""
        options = self.options
        headers = {"User-Agent": options.user_agent, "Accept-Encoding": "identity"}
        return httpx.AsyncClient(
            headers=headers,
            timeout=options.timeout_seconds,
            verify=verify,
            proxy=proxy,
            trust_env=False,  # the way was chosen before
            follow_redirects=False,
        )

    async def _fetch(self, verify: ssl.SSLContext, url: str, path: Path, what: str) -> None:
        status = "none"
        try:
            parts = parts_of(url)
            way = await self.ways.to(parts)
            async with (
                asyncio.timeout(_DOWNLOAD_SECONDS),
                self._client(verify, way.proxy) as client,
                aclosing(await _answer(client, way.requests(parts))) as reply,
            ):
                status = str(reply.status_code)
                if reply.status_code != 200:
                    raise SourceUnavailable(f"{what}: {status} instead of the file")
                await self._save(reply, path, what)
        except FetchRefused:
            status = "refused"
            raise SourceUnavailable(f"{what}: its address leads to no https host of the open network") from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as exc:
            status = type(exc).__name__
            # Their words may hold the address, and so may a traceback that leads to them.
            raise SourceUnavailable(f"{what}: {status}") from None
        finally:
            self.metrics.count("headgate_source_calls_total", source=self.name, route=_ROUTE, status=status)

    async def _save(self, reply: httpx.Response, path: Path, what: str) -> None:
        size = 0
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            async for chunk in reply.aiter_raw():
                size += len(chunk)
                if size > self.max_bytes:
                    raise SourceUnavailable(
                        f"{what} is longer than usage_export.max_bytes ({self.max_bytes}); raise it"
                    )
                file.write(chunk)


async def _answer(client: httpx.AsyncClient, requests: Sequence[AddressRequest]) -> httpx.Response:
    """What the first address that can be connected to says; its body is not read."""
    *others, last = requests
    for one in others:
        with suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return await _send(client, one)
    return await _send(client, last)


async def _send(client: httpx.AsyncClient, asked: AddressRequest) -> httpx.Response:
    url, headers, extensions = asked
    return await client.send(client.build_request("GET", url, headers=headers, extensions=extensions), stream=True)


def rows(path: Path) -> Generator[Row | None, None, None]:
    """The rows of a packed file; see usage_csv.read_rows. Raises Unparsable, also bad_gzip, and bad_csv."""
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield from read_rows(_lines(iter(lambda: file.readline(_LINE_MAX), "")))
    except (OSError, EOFError, zlib.error) as exc:
        raise Unparsable("bad_gzip", f"the usage export cannot be unpacked: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise Unparsable("bad_csv", f"the usage export is not UTF-8: {exc}") from exc


def _lines(given: Iterator[str]) -> Iterator[str]:
    for line in given:
        if len(line) >= _LINE_MAX:
            raise Unparsable("bad_csv", f"the usage export has a line of more than {_LINE_MAX} characters")
        yield line


def pages(path: Path, skip: int) -> Iterator[list[Row | None]]:
    """The rows of a file behind the first `skip`, in pages."""
    with closing(rows(path)) as given:
        behind = islice(given, skip, None)
        while page := list(islice(behind, PAGE)):
            yield page


def keep_bad(path: Path, folder: str, job: str, number: int) -> str:
    """Copy a file that cannot be read to `folder`, for us alone; gives where it is, or what to do to have it kept."""
    if not folder:
        return "set usage_export.keep_bad to a directory to have such files kept"
    kept = Path(folder) / _UNSAFE.sub("_", f"usage-export-{job}-{number}.csv.gz")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept.unlink(missing_ok=True)
        with (
            path.open("rb") as source,
            os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to,
        ):
            shutil.copyfileobj(source, to)
    except OSError as exc:
        return f"it could not be kept in usage_export.keep_bad: {exc}"
    return f"kept as {kept}"
