# syntax=docker/dockerfile:1
# Headgate as a container: two stages, no root, nothing writable but /var/lib/headgate.
#
#   docker build -t headgate .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -v headgate:/var/lib/headgate -v ./headgate.yaml:/etc/headgate/headgate.yaml:ro \
#     -e CIRCLECI_TOKEN -e CIRCLECI_ORGS -p 127.0.0.1:8081:8081 headgate
#
# BASE is any image with Python 3.11 or newer and pip; it works for amd64 and arm64.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
RUN python3 -m venv /opt/headgate \
 && /opt/headgate/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[all]'

FROM ${BASE}
LABEL org.opencontainers.image.title="headgate" \
      org.opencontainers.image.description="CircleCI data collected, kept, forwarded and alerted on" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/headgate /opt/headgate
COPY config/container.yaml /etc/headgate/headgate.yaml
RUN mkdir -p /var/lib/headgate && chown 65532:65532 /var/lib/headgate && chmod 700 /var/lib/headgate
ENV PATH=/opt/headgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADGATE_CONFIG=/etc/headgate/headgate.yaml
USER 65532:65532
WORKDIR /var/lib/headgate
VOLUME ["/var/lib/headgate"]
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Where the daemon listens, and over what, it says beside its store: at /readyz there, whatever the configuration.
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python3", "-m", "headgate.app.ready", "/var/lib/headgate/headgate.db"]
ENTRYPOINT ["headgate"]
CMD ["run"]
