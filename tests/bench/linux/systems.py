# SPDX-License-Identifier: MIT
"""The machines that `make bench-linux` compares: what runs bench-linux there, and what it said."""
import gzip
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BIN = os.path.join(ROOT, "build/bin")
WORK = os.path.join(ROOT, "build/bench-linux")
PROGRAM = os.path.join(ROOT, "build/tests/bench-linux")
SOURCE = os.path.join(ROOT, "build/tests/compile.i")
XEN = "/boot/xen-4.17-amd64.gz"
MEMORY = 512
CLOCK_SLACK = 0.03  # of the time between two lines, by the guest's clock and by ours


class Absent(Exception):
    """What a machine needs and is not here."""


class Run:
    """What one run of bench-linux said: nanoseconds by row, results by row, when init began; and
    why it ended before its end."""

    def __init__(self):
        self.figures, self.results, self.boot, self.ended, self.why = {}, {}, None, False, None
        self.clocks = []  # (the guest's, ours)

    def line(self, line, since):
        failed = re.search(r"bench failed (.*)", line)
        if failed:
            self.why = failed[1]
        m = re.search(r"bench (\w+)(?: (\S+))?(?: (\S+))?$", line)
        if not m:
            return
        what, first, second = m.groups()
        if what == "init":
            self.boot = time.monotonic() - since
        elif what == "end":
            self.ended = True
        elif what == "clock":
            self.clocks.append((int(first) / 1e9, time.monotonic()))
        elif what == "result":
            self.results[first] = second
        elif second == "ns":
            self.figures[what] = float(first)

    def check_clock(self):
        """A guest whose clock is slow would look fast."""
        (g0, h0), (g1, h1) = self.clocks
        if abs((g1 - g0) - (h1 - h0)) > CLOCK_SLACK * (h1 - h0) + 0.1:
            self.why = f"its clock counted {g1 - g0:.2f} s in {h1 - h0:.2f} s"
            self.figures = {}


def follow(command, limit, **how):
    """Run a command until it has said all, or failed, or `limit` seconds are over."""
    run, said, since = Run(), [], time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True, **how)

    def end():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit, end)
    timer.start()
    try:
        for line in process.stdout:
            line = line.decode(errors="replace").strip()
            said.append(line)
            run.line(line, since)
            if run.ended or run.why:
                break
    finally:
        timer.cancel()
        end()
        process.wait()
        process.stdout.close()
    if run.ended:
        run.check_clock()
    elif not run.why:
        over = time.monotonic() - since >= limit
        said = [s for s in said if s]
        last = next((s for s in said if "panic" in s), said[-1] if said else "it said nothing")
        run.why = f"no end after {limit} s: {last}" if over else last
    return run


def kernel_words(options, rows):
    return " ".join(["quiet panic=-1 rdinit=/bin/bench-linux --", *options, *rows])


def native(image, options, rows, limit):
    """Here: gcc writes to memory, as in an initramfs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return follow([PROGRAM, *options, "-c", SOURCE, *rows], limit, cwd=folder,
                      env=dict(os.environ, TMPDIR=folder))


def qemu(cpu, memory, *more):
    """QEMU without a device that nobody needs."""
    if not shutil.which("qemu-system-x86_64"):
        raise Absent("no qemu-system-x86_64 (make bench-linux installs it)")
    return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", cpu, "-m", str(memory), "-nodefaults",
            "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", *more]


def tcg(image, options, rows, limit):
    return follow(qemu("max", MEMORY, "-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd",
                       "-append", f"console=ttyS0 {kernel_words(options, rows)}"), limit)


def unpacked_xen():
    path = f"{WORK}/xen"
    if not os.path.exists(XEN):
        raise Absent(f"no {XEN} (make deps)")
    with gzip.open(XEN) as packed, open(path, "wb") as f:
        shutil.copyfileobj(packed, f)
    return path


def xen(image, options, rows, limit):
    """Real Xen with this kernel as its initial domain, and at its best: without what it does
    against speculation, which an emulator does not do. With SMAP in QEMU 7.2 Xen crashes its domain
    at the first exception (create_bounce_frame). See -k of bench-linux for the console."""
    kernel = (f"{image}/vmlinuz earlyprintk=xen,,keep printk.devkmsg=on "
              f"{kernel_words(['-k', *options], rows)}")
    return follow(qemu("max,-smap", MEMORY + 256, "-kernel", unpacked_xen(), "-initrd",
                       f"{kernel},{image}/initrd", "-append",
                       f"console=com1 com1=115200,8n1 loglvl=none guest_loglvl=none "
                       f"dom0_mem={MEMORY}M xpti=no spec-ctrl=no"), limit)


def pavane(image, options, rows, limit):
    rundir = tempfile.mkdtemp()
    env = dict(os.environ, PAVANE_RUNDIR=rundir)
    try:
        subprocess.run([f"{BIN}/pvctl", "list"], env=env, capture_output=True)  # starts pvd
        return follow([f"{BIN}/pvctl", "create", "--provider", "translate", "--memory",
                       str(MEMORY), "--name", "bench-linux", "--kernel", f"{image}/vmlinuz",
                       "--ramdisk", f"{image}/initrd", "--cmdline",
                       f"console=hvc0 {kernel_words(options, rows)}", "-c"], limit, env=env)
    finally:
        stop(rundir, env)


def stop(rundir, env):
    """On a busy machine two pvd may have been started, and the other serves when one has ended."""
    for _ in range(20):
        subprocess.run([f"{BIN}/pvd", "--stop"], env=env, capture_output=True)
        shutil.rmtree(rundir, ignore_errors=True)
        if not os.path.exists(rundir):
            break
        time.sleep(0.2)


# Its name in JSON, on the page, its colour in the plot, what runs it.
SYSTEMS = [
    ("native", "native", "#9a9a9a", native),
    ("tcg", "QEMU TCG", "#d69e2e", tcg),
    ("xen", "Xen PV on TCG", "#c05621", xen),
    ("pavane", "Pavane", "#2b6cb0", pavane),
]
