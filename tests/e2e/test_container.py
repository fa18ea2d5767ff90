"""The container image, built and run without a container service: buildah on a tree made by debootstrap.

Root without a Docker daemon cannot use the kernel's every restriction through buildah; the daemon is therefore run from
the image's own files, command, environment and user, in a mount namespace of its own: the root file system read-only,
nothing writable but the volume, no capability, no new privileges. Host network. Not covered: seccomp and AppArmor
profiles, cgroup limits, and a network of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.harness import ROOT, Child, free_port, wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
BASE, IMAGE = "localhost/headgate-base:bookworm", "localhost/headgate:e2e"
CAN = os.geteuid() == 0 and shutil.which("buildah") is not None
# In the namespace: the image read-only, a volume, /proc, a /dev of three files; then the image's user without rights.
RUN = """
set -e
root=$1; volume=$2; user=$3; shift 3
mount --bind "$root" "$root"
mount --bind "$volume" "$root/var/lib/headgate"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --no-new-privs \
  --inh-caps=-all --bounding-set=-all -- "$@"
"""


def buildah(state: Path, *arguments: str, seconds: float = 900) -> str:
    """Run buildah on a storage of its own; gives what it printed."""
    storage = ("--storage-driver", "vfs", "--root", str(state / "root"), "--runroot", str(state / "run"))
    done = subprocess.run(
        ["buildah", *storage, *arguments], check=False, capture_output=True, text=True, timeout=seconds, cwd=ROOT
    )
    assert done.returncode == 0, f"buildah {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, dict]]:
    """The built image: storage, its mounted files, its configuration."""
    state = tmp_path_factory.mktemp("buildah")
    tree = Path(os.environ.get("HEADGATE_TEST_BASE") or state / "tree")
    if not tree.exists():
        make = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(tree)]
        subprocess.run(make, check=True, capture_output=True, timeout=600)
    container = buildah(state, "from", "scratch")
    mount = Path(buildah(state, "mount", container))
    subprocess.run(["cp", "-a", f"{tree}/.", str(mount)], check=True)
    shutil.copy(f"/{CERTIFICATES}", mount / CERTIFICATES)  # whatever stands between this machine and the package index
    buildah(state, "umount", container)
    buildah(state, "commit", "--quiet", "--rm", container, BASE)
    options = ("--isolation", "chroot", "--network", "host", "--format", "docker", "--pull=false")
    buildah(state, "bud", *options, "--build-arg", f"BASE={BASE}", "-t", IMAGE, ".")
    container = buildah(state, "from", "--pull=false", IMAGE)
    mount = Path(buildah(state, "mount", container))
    config = json.loads(buildah(state, "inspect", "--type", "image", IMAGE))["Docker"]["config"]
    yield state, mount, config
    buildah(state, "umount", container)
    buildah(state, "rm", container)


class Contained(Child):
    """The image's command under its user, restricted as the module says."""

    def __init__(self, folder: Path, mount: Path, config: dict, volume: Path, *command: str, **env: str) -> None:
        pairs = [*config["Env"], *(f"{name}={value}" for name, value in env.items())]
        inner = command or (*config["Entrypoint"], *config["Cmd"])
        super().__init__(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", RUN, "run"),
                *(str(mount), str(volume), config["User"], "env", "-i", *pairs, *inner),
            ],
            folder / "contained.log",
            out=folder / "contained.out",
        )


def ready(url: str) -> bool:
    """Whether /readyz says yes."""
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.xfail(not CAN, reason="needs root and buildah", run=False, strict=True)
def test_the_image_is_built_as_the_file_says(image):
    """User, entry point, health check and volume are in the image; no secret is in its environment."""
    _, mount, config = image
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["headgate"]
    assert config["Healthcheck"]["Test"][:4] == ["CMD", "python3", "-m", "headgate.app.ready"]
    assert list(config["Volumes"]) == ["/var/lib/headgate"]
    assert not [pair for pair in config["Env"] if "TOKEN" in pair or "SECRET" in pair]
    assert not list((mount / "root").glob(".cache/pip/*"))


@pytest.mark.xfail(not CAN, reason="needs root and buildah", run=False, strict=True)
def test_the_image_runs_read_only_without_rights(image, tmp_path):
    """Ready within a minute as 65532 on a read-only root; TERM ends it with 0; the store is in the volume."""
    _, mount, config = image
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, 65532, 65532)
    port, hooks = free_port(), free_port()
    env = {
        "CIRCLECI_TOKEN": "dummy",
        "HEADGATE__HTTP__LISTEN": f"127.0.0.1:{port}",
        "HEADGATE__WEBHOOKS__LISTEN": f"127.0.0.1:{hooks}",
        "HEADGATE__SOURCES__CIRCLECI__BASE_URL": f"http://127.0.0.1:{free_port()}",
    }
    with Contained(tmp_path, mount, config, volume, **env) as daemon:
        daemon.launch()
        wait_until(lambda: ready(f"http://127.0.0.1:{port}") or not daemon.running(), "readiness", 60)
        assert daemon.running(), daemon.text()
        with Contained(tmp_path, mount, config, volume, *config["Healthcheck"]["Test"][1:]) as check:
            check.launch()
            assert check.wait(30) == 0
        assert [path.stat().st_uid for path in volume.glob("headgate.db")] == [65532]
        with Contained(tmp_path, mount, config, volume, "touch", "/opt/headgate/new") as writer:
            writer.launch()
            assert writer.wait(30) != 0
        os.kill(int(Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()[0]), signal.SIGTERM)
        assert daemon.wait(10) == 0
