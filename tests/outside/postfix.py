"""A Postfix of the tests' own: one instance in a directory that is new, with a port for each way of refusing."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

BINARY: Final = shutil.which("postfix")
IS_ROOT: Final = os.geteuid() == 0

_MAIN: Final = """
compatibility_level = 3.6
queue_directory = {root}/spool
data_directory = {root}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = {root}
maillog_file = {root}/mail.log
inet_protocols = ipv4
inet_interfaces = loopback-only
myhostname = mx.example.com
mydestination = example.com
mynetworks =
alias_maps =
alias_database =
local_recipient_maps = inline:{{ known@example.com=x }}
local_transport = discard
default_transport = discard
smtpd_relay_restrictions = reject_unauth_destination
smtputf8_enable = no
"""
_MASTER: Final = """
postlog   unix-dgram n - n - 1 postlogd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
proxymap  unix - - n - - proxymap
anvil     unix - - n - 1 anvil
discard   unix - - n - - discard
error     unix - - n - - error
retry     unix - - n - - error
"""


@contextmanager
def free_ports(number: int) -> Iterator[list[int]]:
    """Find ports that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        yield [probe.getsockname()[1] for probe in probes]


@contextmanager
def running(services: Mapping[str, Sequence[str]]) -> Iterator[dict[str, int]]:
    """Run an instance; ``services`` are settings by name, each for a server of its own. Yields their ports."""
    root = Path(tempfile.mkdtemp(prefix="tradepost-postfix-"))
    config = root / "etc"
    root.chmod(0o755)
    for name in ("etc", "spool", "data"):
        (root / name).mkdir()
    shutil.chown(root / "data", "postfix")
    with free_ports(len(services)) as found:
        ports = dict(zip(services, found, strict=True))
    servers = [
        f"127.0.0.1:{ports[name]} inet n - n - - smtpd "
        + " ".join(f"-o {{ {setting} }}" for setting in settings)
        for name, settings in services.items()
    ]
    (config / "main.cf").write_text(_MAIN.format(root=root))
    (config / "master.cf").write_text(_MASTER + "\n".join(servers) + "\n")
    try:
        _command(config, "start")
        try:
            yield ports
        except BaseException as error:
            error.add_note((root / "mail.log").read_text(encoding="utf-8", errors="replace")[-4000:])
            raise
        finally:
            _command(config, "abort")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _command(config: Path, what: str) -> None:
    assert BINARY is not None
    done = subprocess.run(
        [BINARY, "-c", str(config), what], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
