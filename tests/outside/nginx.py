"""An nginx of the tests' own: one process in a directory that is new, in front of a server below a prefix."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

BINARY: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
_START_TIMEOUT: Final = 30.0

# A client's own address is what the test says it is: there is one machine, and seven people.
_CONFIG: Final = """
daemon off;
master_process off;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{}}
http {{
    access_log {root}/access.log;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    server {{
        listen 127.0.0.1:{port};
        listen [::1]:{port};
        set_real_ip_from 127.0.0.1;
        set_real_ip_from ::1;
        real_ip_header X-Test-Client;
        location /shop/ {{
            {location}
        }}
    }}
}}
"""


@contextmanager
def running(location: str) -> Iterator[int]:
    """Run an nginx with these directives for what is below ``/shop/``; yields its port."""
    root = Path(tempfile.mkdtemp(prefix="tradepost-nginx-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = root / "nginx.conf"
    config.write_text(_CONFIG.format(root=root, port=port, location=location), encoding="utf-8")
    process = subprocess.Popen(
        [str(BINARY), "-p", str(root), "-e", str(root / "error.log"), "-c", str(config)],
        stdin=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield port
    except BaseException as error:
        log = root / "error.log"
        error.add_note(
            log.read_text(encoding="utf-8", errors="replace")[-4000:] if log.exists() else "no log"
        )
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_START_TIMEOUT)
        shutil.rmtree(root, ignore_errors=True)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("nginx did not start")
