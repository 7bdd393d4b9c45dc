"""The ten resources of bench/no_op.rs for pyinfra."""

from io import StringIO

from pyinfra import inventory
from pyinfra.operations import files, server, systemd

NAME = "bench-pyinfra"
PEERS = "".join(f"peer: {host.name}\n" for host in inventory)
UNIT = f"[Service]\nExecStart=/bin/sleep infinity\nUser={NAME}\n[Install]\nWantedBy=multi-user.target\n"

server.group(group=NAME, system=True)
server.user(user=NAME, group=NAME, system=True, home=f"/var/lib/{NAME}", ensure_home=False)
for folder in ("/etc", "/var/lib", "/var/log"):
    files.directory(path=f"{folder}/{NAME}", user=NAME, group=NAME, mode="750")
for number in range(3):
    content = StringIO(f"number: {number}\n{PEERS}")
    files.put(src=content, dest=f"/etc/{NAME}/{number}.yaml", user=NAME, group=NAME, mode="640")
files.put(src=StringIO(UNIT), dest=f"/etc/systemd/system/{NAME}.service", mode="644")
systemd.service(service=NAME, running=True, enabled=True)
