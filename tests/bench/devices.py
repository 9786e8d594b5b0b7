# SPDX-License-Identifier: MIT
"""The devices' part of make bench: a guest's disk against fio with io_uring on the same file, and
its network (libslirp) against the loopback interface and QEMU's user networking. Each round runs
the peers one after the other; what is told is the median over rounds, so that a neighbour on the
machine does not decide."""
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, "build/bin")
GUEST = os.path.join(ROOT, "build/guest/pv-guest")
ROUNDS = 3
SECONDS = 2
IMAGE_MB = 256
STREAM_MB = 256
QEMU_MB = 32  # which sends more slowly
# fio's words for what `disk bench` does: buffered, as pvblk opens the image
DISK_TESTS = {
    "randread": ["--rw=randread", "--bs=4k", "--iodepth=32"],
    "randwrite": ["--rw=randwrite", "--bs=4k", "--iodepth=32"],
    "read": ["--rw=read", "--bs=1M", "--iodepth=4"],
    "write": ["--rw=write", "--bs=1M", "--iodepth=4"],
}
NET_TESTS = ["udp_rtt_ns", "tcp_rtt_ns", "rx_kbs", "tx_kbs"]


def run(cmd, timeout=120):
    return subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout).stdout


def guest(command, *more):
    """What pv-guest's shell says to one command."""
    return run([os.path.join(BIN, "pvctl"), "create", "--kernel", GUEST, "--memory", "64",
                "--name", f"bench-dev-{os.getpid()}", *more,
                "--cmdline", f"cmd={command};halt", "-c"])


def fio(image, args):
    """Requests per second."""
    out = run(["fio", "--name=peer", f"--filename={image}", f"--size={IMAGE_MB}M",
               "--ioengine=io_uring", "--invalidate=0", "--time_based", f"--runtime={SECONDS}",
               "--output-format=json", *args])
    job = json.loads(out[out.index("{"):])["jobs"][0]
    return max(job["read"]["iops"], job["write"]["iops"])


def disk(image, test):
    out = guest(f"disk bench xvda {IMAGE_MB}M {SECONDS * 1000} {test}",
                "--disk", f"{image},raw,xvda,rw")
    found = re.search(rf"disk bench xvda: {test} +(\d+) IOPS", out)
    return float(found[1]) if found else 0.0


def disks(progress):
    """For each test: requests per second of fio and of the guest, and their ratio."""
    result = {}
    folder = tempfile.mkdtemp(dir=os.path.join(ROOT, "build"))
    image = os.path.join(folder, "disk.img")
    try:
        with open(image, "wb") as f:
            for _ in range(IMAGE_MB):
                f.write(os.urandom(1 << 20))
        for test, args in DISK_TESTS.items():
            pairs = []
            for i in range(ROUNDS):
                progress(f"bench: disk {test}, round {i + 1} of {ROUNDS}")
                pairs.append((fio(image, args), disk(image, test)))
            host, own = (statistics.median(p[k] for p in pairs) for k in (0, 1))
            result[test] = {"fio_per_s": round(host), "guest_per_s": round(own),
                            "ratio": round(own / host, 2)}
    finally:
        shutil.rmtree(folder)
    return result


def numbers(out):
    return {m[1]: float(m[2]) for m in re.finditer(r"net bench (\w+) ([0-9.]+)", out)}


def networks(progress):
    """For each figure: over the loopback interface, of the guest, of a Linux under QEMU with user
    networking, and the guest's ratios to both."""
    server = subprocess.Popen([os.path.join(BIN, "bench-net"), "serve"], text=True,
                              stdout=subprocess.PIPE)
    rounds = []
    try:
        port = server.stdout.readline().split()[1]
        for i in range(ROUNDS):
            progress(f"bench: network, round {i + 1} of {ROUNDS}")
            rounds.append((
                numbers(run([os.path.join(BIN, "bench-net"), "client", "127.0.0.1", port,
                             str(STREAM_MB)])),
                numbers(guest(f"net bench 10.0.2.2 {port} {STREAM_MB}", "--net", "")),
                numbers(run([os.path.join(ROOT, "tests/bench/qemu-net"), port, str(QEMU_MB)]))))
    finally:
        server.kill()
        server.wait()
    result = {}
    for name in NET_TESTS:
        host, own, qemu = (statistics.median(r[k].get(name, 0.0) for r in rounds)
                           for k in range(3))
        result[name] = {"loopback": host, "guest": own, "qemu": qemu,
                        "ratio": round(own / host, 3),
                        "ratio_qemu": round(own / qemu, 3) if qemu else None}
    return result


def table(result):
    rows = [f"\n{'disk, requests/s':32} {'fio':>10} {'guest':>10} {'x fio':>10}"]
    for test, r in result["disk"].items():
        rows.append(f"{test:32} {r['fio_per_s']:10} {r['guest_per_s']:10} {r['ratio']:10.2f}")
    rows.append(f"\n{'network':32} {'loopback':>10} {'QEMU TCG':>10} {'guest':>10} "
                f"{'x loopback':>10} {'x QEMU':>10}")
    for name, r in result["net"].items():
        rows.append(f"{name:32} {r['loopback']:10.0f} {r['qemu']:10.0f} {r['guest']:10.0f} "
                    f"{r['ratio']:10.2f} {r['ratio_qemu'] or 0:10.2f}")
    return "\n".join(rows)


def measure(progress):
    return {"disk": disks(progress), "net": networks(progress)}
