"""The official client's transport, given ready bytes and giving back the answer as it came.

Imported only when an Elasticsearch sink is built. Addresses, cloud ids, credentials and the choice of a node are the
client's; its repeats, sniffing and reading of answers are off. Its product check would raise after the first write was
already carried out, so it is not used: `check` judges the product instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from elastic_transport import (
    BaseAsyncNode,
    HttpxAsyncHttpNode,
    NodeConfig,
    SerializationError,
    SerializerCollection,
    TlsError,
    TransportError,
)
from elastic_transport import ConnectionTimeout as NodeTimeout
from elasticsearch import AsyncElasticsearch

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, TransportOptions
from headgate.plugins.tls import verification
from headgate.sinks._endpoint import Redactor

__all__ = ["BulkClient"]

_CONNECTIONS = 20


class _Raw(SerializerCollection):
    """Leaves bodies as they are: an error page of a proxy in front keeps its status that way."""

    def dumps(self, data: Any, mimetype: str | None = None) -> bytes:
        del mimetype
        return bytes(data)

    def loads(self, data: bytes, mimetype: str | None = None) -> Any:
        del mimetype
        return data


def _node_class(options: TransportOptions) -> type[BaseAsyncNode]:
    """A node on httpx: obeys the proxy setting and follows no redirect, which the client's aiohttp node does."""

    class Node(HttpxAsyncHttpNode):
        def __init__(self, config: NodeConfig) -> None:
            BaseAsyncNode.__init__(self, config)
            self.client = httpx.AsyncClient(
                base_url=f"{config.scheme}://{config.host}:{config.port}{config.path_prefix}",
                limits=httpx.Limits(max_connections=_CONNECTIONS),
                verify=verification(options),
                proxy=options.proxy,
                timeout=config.request_timeout,
                trust_env=True,
                headers={"accept-encoding": "identity"},
            )

    return Node


class BulkClient(AsyncElasticsearch):
    """The client, cut down to one call."""

    def __init__(
        self,
        *,
        options: TransportOptions,
        clean: Redactor,
        hosts: tuple[str, ...] | None,
        cloud_id: str | None,
        **credentials: Any,
    ) -> None:
        super().__init__(
            hosts=list(hosts) if hosts else None,
            cloud_id=cloud_id,
            node_class=_node_class(options),
            meta_header=False,
            **credentials,
        )
        self.transport.serializers = _Raw()
        self._clean = clean

    async def call(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None, *, timeout_seconds: float
    ) -> HttpReply:
        """Send one request, once. Raises SinkUnavailable when nobody answered, SinkRefused on a bad certificate."""
        sent: dict[str, str] = {**self._headers, **headers}
        try:
            # The transport's own default is three repeats at once; the client's option does not reach it from here.
            answer = await self.transport.perform_request(
                method,
                target,
                body=body,
                headers=sent,
                max_retries=0,
                retry_on_status=(),
                retry_on_timeout=False,
                request_timeout=timeout_seconds,
            )
        except TlsError as exc:
            raise SinkRefused(f"TLS: {self._clean(str(exc))}", reason="config", fix="set ca_file") from exc
        except NodeTimeout as exc:
            raise SinkUnavailable(f"no answer within {timeout_seconds:g} s") from exc
        except (TransportError, SerializationError, httpx.HTTPError, OSError) as exc:
            raise SinkUnavailable(f"cannot be reached: {self._clean(str(exc))}") from exc
        meta = answer.meta
        found = {name.lower(): value for name, value in meta.headers.items()}
        return HttpReply(meta.status, found, answer.body or b"")
