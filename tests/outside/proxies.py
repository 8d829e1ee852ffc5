"""The load balancers of ``deploy/``, as they stand there, in front of replicas of a test's own."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.flows.live import ROOT, reserved_port

START_TIMEOUT: Final = 30.0
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"


def program(name: str) -> str | None:
    """Return where a proxy's program is, if it is here."""
    return shutil.which(name, path=_PATH)


@contextmanager
def nginx(replicas: Sequence[int]) -> Iterator[str]:
    """Run nginx with ``deploy/nginx``, for replicas on these ports; yields its URL."""
    with _directory("nginx") as root, reserved_port() as port:
        for file in (ROOT / "deploy/nginx").iterdir():
            text = file.read_text("utf-8").replace("/tmp/nginx", f"{root}/nginx")  # noqa: S108 - the container's own
            if file.name == "nginx.conf":
                text = re.sub(r"listen \[::\]:8080.*\n", "", text).replace(
                    "listen 8080", f"listen 127.0.0.1:{port}"
                )
                text = text.replace("/dev/stdout", f"{root}/access.log")
            if file.name == "upstream.conf":
                text = _named(text, replicas)
            (root / file.name).write_text(text, encoding="utf-8")
        # One process, as root where the tests run as root: a master's children would not be let into the directory.
        command = [str(program("nginx")), "-p", str(root), "-c", str(root / "nginx.conf")]
        with _running([*command, "-g", "daemon off; master_process off;"], port, {}):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def haproxy(replicas: Sequence[int]) -> Iterator[str]:
    """Run haproxy with ``deploy/haproxy``, for three replicas on these ports; yields its URL."""
    with reserved_port() as port:
        names = {f"API{place}": f"127.0.0.1:{replica}" for place, replica in enumerate(replicas, start=1)}
        command = [str(program("haproxy")), "-db", "-f", str(ROOT / "deploy/haproxy/haproxy.cfg")]
        with _running(command, port, {"LISTEN": f"127.0.0.1:{port}", **names}):
            yield f"http://127.0.0.1:{port}"


def _named(upstream: str, replicas: Sequence[int]) -> str:
    """Name the replicas one by one: Debian's nginx asks no DNS for them after its start."""
    upstream = re.sub(r"^resolver .*\n", "", upstream, flags=re.MULTILINE)
    line = re.search(r"^ *server api:8000 resolve (.*)$", upstream, re.MULTILINE)
    assert line is not None
    servers = [f"    server 127.0.0.1:{port} {line[1]}" for port in replicas]
    return upstream.replace(line[0], "\n".join(servers))


@contextmanager
def _directory(name: str) -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix=f"tradepost-{name}-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _running(command: Sequence[str], port: int, names: dict[str, str]) -> Iterator[None]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, env=os.environ | names, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_for(port, process)
            yield
        except BaseException as error:
            output.seek(0)
            error.add_note(output.read().decode(errors="replace")[-2000:])
            raise
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("the proxy did not start")
