#!/usr/bin/env python3
"""Tries what operators install: units, sockets of systemd, the Debian package and the image.

    packaging/check.py PORTCULLIS                        with this binary
    packaging/check.py PORTCULLIS --deb CARGO_DEB        and its package
    packaging/check.py PORTCULLIS --deb CARGO_DEB --install
                                                         and install it here, as root, and remove it again
    packaging/check.py PORTCULLIS --image                and the image, if buildah is here (takes the minutes of a release build)

It needs Debian's package systemd, which does not have to run.
"""

import argparse
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

FOLDER = pathlib.Path(__file__).resolve().parent
UNITS = FOLDER / "systemd"
# What `systemd-analyze security` may find at most: 3.0.
THRESHOLD = "30"
# Within this everything happens.
LIMIT = 30


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def until(what, condition):
    end = time.monotonic() + LIMIT
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit(f"{what}: nothing happened within {LIMIT} s")
        time.sleep(0.02)
    return found


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def ask(port):
    """Returns status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LIMIT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def check_units(portcullis, folder):
    """The units are valid, and let the service do little else than to serve."""
    unit = (UNITS / "portcullis.service").read_text()
    assert re.search(r"^ExecStart=/usr/bin/portcullis serve /etc/portcullis/portcullis.yaml$", unit, re.M), unit
    assert not re.search(r"^MemoryDenyWriteExecute=", unit, re.M), "it kills compilers"
    (folder / "portcullis.service").write_text(unit.replace("/usr/bin/portcullis", str(portcullis)))
    shutil.copy(UNITS / "portcullis.socket", folder)
    for drop_in in (False, True):
        if drop_in:
            more = folder / "portcullis.service.d"
            more.mkdir()
            shutil.copy(UNITS / "wasmi.conf", more)
        said = run("systemd-analyze", "verify", folder / "portcullis.service", folder / "portcullis.socket")
        assert said == "", said
        said = run(
            "systemd-analyze", "security", "--offline=yes", f"--threshold={THRESHOLD}", folder / "portcullis.service"
        )
        print(said.strip().splitlines()[-1].strip())


def check_configurations(portcullis, folder):
    """Both default configurations can be served."""
    for name in ("portcullis.yaml", "portcullis.container.yaml"):
        text = (FOLDER / name).read_text().replace("/var/cache/portcullis", str(folder / "cache"))
        (folder / name).write_text(text)
        run(portcullis, "--log", "error", "check", folder / name)


class Notified:
    """A socket in the place of systemd's."""

    def __init__(self, folder):
        self.path = folder / "notify.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(LIMIT)

    def hear(self, wanted):
        while wanted not in (said := self.socket.recv(4096).decode().splitlines()):
            pass
        return said


def check_activation(portcullis, folder):
    """A socket that is opened for the service is answered on, and the process says how it is."""
    port = free_port()
    config = (folder / "portcullis.yaml").read_text().replace("unix:/run/portcullis/admin.sock", f"unix:{folder}/admin")
    (folder / "activated.yaml").write_text(config)
    notified = Notified(folder)
    listening = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=web"]
    passing = [f"--setenv={name}" for name in ("NOTIFY_SOCKET", "RUST_LOG")]
    environment = {**os.environ, "NOTIFY_SOCKET": str(notified.path), "RUST_LOG": "warn"}
    command = [*listening, *passing, portcullis, "serve", folder / "activated.yaml"]
    log = open(folder / "activated.log", "w+")
    process = subprocess.Popen([str(part) for part in command], env=environment, stderr=log)
    try:
        # The first connection starts the service, which takes it from the queue.
        answer = until("activation", lambda: try_to(lambda: ask(port)))
        assert answer[0] == 503 and "no route is configured" in answer[1], answer
        print("socket activation:", "; ".join(notified.hear("READY=1")))
        # It has the number of systemd-socket-activate.
        process.send_signal(signal.SIGTERM)
        notified.hear("STOPPING=1")
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.wait()
    log.seek(0)
    said = log.read()
    assert "belongs to no listener" not in said, said


def try_to(what):
    try:
        return what()
    except OSError:
        return None


def build_deb(portcullis, cargo_deb, folder):
    """Makes the package of this binary, as of one that is built for release."""
    release = folder / "target" / "release"
    release.mkdir(parents=True)
    shutil.copy(portcullis, release / "portcullis")
    package = folder / "portcullis.deb"
    environment = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target")}
    arguments = ["--package", "portcullis-gateway", "--no-build", "--fast", "--output", package]
    run(cargo_deb, *arguments, cwd=FOLDER.parent, env=environment)
    contents = run("dpkg-deb", "--contents", package)
    for path in (
        "./usr/bin/portcullis",
        "./etc/portcullis/portcullis.yaml",
        "./usr/lib/sysusers.d/portcullis.conf",
        "./usr/lib/systemd/system/portcullis.service",
        "./usr/lib/systemd/system/portcullis.socket",
        "./usr/share/doc/portcullis/operations.md",
    ):
        assert re.search(rf" {re.escape(path)}$", contents, re.M), f"{path} is missing:\n{contents}"
    control = folder / "control"
    run("dpkg-deb", "--control", package, control)
    assert (control / "conffiles").read_text() == "/etc/portcullis/portcullis.yaml\n"
    assert "systemd-sysusers ${DPKG_ROOT:+--root=\"$DPKG_ROOT\"} portcullis.conf" in (control / "postinst").read_text()
    print(f"{package.name}: {package.stat().st_size >> 20} MiB")
    return package


def check_install(package):
    """Installs the package, runs its ExecStart as its user, and removes it."""
    assert not pathlib.Path("/usr/bin/portcullis").exists(), "/usr/bin/portcullis is installed; this would replace it"
    try:
        run("dpkg", "--install", package)
        user = pwd.getpwnam("portcullis")
        unit = pathlib.Path("/usr/lib/systemd/system/portcullis.service").read_text()
        start = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1).split()
        # What systemd makes: RuntimeDirectory=, CacheDirectory=.
        for folder in ("/run/portcullis", "/var/cache/portcullis"):
            pathlib.Path(folder).mkdir(mode=0o700)
            os.chown(folder, user.pw_uid, user.pw_gid)
        process = subprocess.Popen(["runuser", "-u", "portcullis", "--", *start])
        try:
            status, body = until("the service", lambda: try_to(lambda: ask(8080)))
            assert status == 503 and "no route is configured" in body, (status, body)
            service = int(run("pgrep", "--parent", process.pid).split()[0])
            assert os.stat(f"/proc/{service}").st_uid == user.pw_uid
            admin = pathlib.Path("/run/portcullis/admin.sock").stat()
            assert admin.st_uid == user.pw_uid and admin.st_mode & 0o777 == 0o600
            os.kill(service, signal.SIGTERM)
            assert process.wait(LIMIT) == 0
        finally:
            process.kill()
            process.wait()
        print(f"installed; {' '.join(start)} ran as {user.pw_name} ({user.pw_uid})")
    finally:
        run("dpkg", "--purge", "portcullis")
        shutil.rmtree("/run/portcullis", ignore_errors=True)
    for left in ("/usr/bin/portcullis", "/etc/portcullis/portcullis.yaml", "/var/cache/portcullis"):
        assert not pathlib.Path(left).exists(), f"{left} is left"


def check_image():
    if not shutil.which("buildah"):
        return print("no image: buildah is not here")
    image = run("buildah", "build", "--quiet", "--file", FOLDER / "Containerfile", FOLDER.parent).split()[-1]
    user = run("buildah", "inspect", "--type", "image", "--format", "{{.OCIv1.Config.User}}", image).strip()
    assert user not in ("", "root", "0"), f"the image runs as {user!r}"
    print(f"image {image[:12]}, as {user}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("portcullis", type=pathlib.Path)
    parser.add_argument("--deb", metavar="CARGO_DEB")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--image", action="store_true")
    arguments = parser.parse_args()
    portcullis = arguments.portcullis.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        check_configurations(portcullis, folder)
        check_units(portcullis, folder)
        check_activation(portcullis, folder)
        if arguments.deb:
            package = build_deb(portcullis, arguments.deb, folder)
            if arguments.install:
                check_install(package)
        if arguments.image:
            check_image()


if __name__ == "__main__":
    main()
