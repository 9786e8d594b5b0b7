/* SPDX-License-Identifier: MIT */
/* What the kernel has of the hypervisor: xenstore, the balloon, vCPUs to switch off and on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>
/* It expects fixed-size types to be there. */
#include <stdint.h>
#include <xen/io/xs_wire.h>

#include "tests/stock/load.h"

#define BALLOON "/sys/devices/system/xen_memory/xen_memory0/"
#define CPU1	"/sys/devices/system/cpu/cpu1/online"
#define STEP	(16 * 1024) /* KiB */

static bool read_line(const char *path, char *line, size_t size)
{
	const int fd = open(path, O_RDONLY);
	const ssize_t n = fd < 0 ? -1 : read(fd, line, size - 1);

	if (fd >= 0)
		close(fd);
	line[n > 0 ? n : 0] = 0;
	line[strcspn(line, "\n")] = 0;
	return n >= 0;
}

static bool write_line(const char *path, const char *line)
{
	const int fd = open(path, O_WRONLY);
	const bool ok = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Everything below changes the machine it runs on: not if that is not a guest of Xen's kind. */
static bool hypervisor(void)
{
	char type[32], version[32];

	read_line("/sys/hypervisor/type", type, sizeof(type));
	read_line("/sys/hypervisor/version/major", version, sizeof(version));
	check(!strcmp(type, "xen") && !strcmp(version, "4"), "/sys/hypervisor", "%s %s", type,
	      version);
	return !strcmp(type, "xen");
}

/* One request of the wire protocol (public io/xs_wire.h) through the kernel's ring. */
static int xenstore(uint32_t type, const char *payload, uint32_t len, char *reply, size_t size)
{
	struct xsd_sockmsg m = {.type = type, .req_id = 7, .len = len};
	const int fd = open("/dev/xen/xenbus", O_RDWR);
	ssize_t n = -1;

	if (fd < 0)
		return -errno;
	if (write(fd, &m, sizeof(m)) == sizeof(m) && write(fd, payload, len) == (ssize_t)len &&
	    read(fd, &m, sizeof(m)) == sizeof(m) && m.len < size)
		n = read(fd, reply, m.len);
	close(fd);
	reply[n > 0 ? n : 0] = 0;
	return m.type == type ? n : -EIO;
}

static void store(void)
{
	char reply[256];
	int n = xenstore(XS_READ, "domid", 6, reply, sizeof(reply));

	check(n > 0 && atoi(reply) > 0, "xenstore: read", "%d %s", n, reply);
	n = xenstore(XS_WRITE, "data/load\0from a guest", 22, reply, sizeof(reply));
	check(n == 3 && !strcmp(reply, "OK"), "xenstore: write", "%d %s", n, reply);
	n = xenstore(XS_READ, "data/load", 10, reply, sizeof(reply));
	check(n == 12 && !strcmp(reply, "from a guest"), "xenstore: read it back", "%d %s", n,
	      reply);
	n = xenstore(XS_WRITE, "name\0mine", 9, reply, sizeof(reply));
	check(n == -EIO && !strcmp(reply, "EACCES"), "xenstore: not the domain's to write", "%d %s",
	      n, reply);
}

static unsigned long total_kib(void)
{
	struct sysinfo si;

	sysinfo(&si);
	return si.totalram * si.mem_unit / 1024;
}

static bool balloon_to(unsigned long kib)
{
	const uint64_t until = now_ns() + 60000000000ul;
	char line[32];

	snprintf(line, sizeof(line), "%lu", kib);
	if (!write_line(BALLOON "target_kb", line))
		return false;
	do {
		usleep(20000);
		read_line(BALLOON "info/current_kb", line, sizeof(line));
	} while (strtoul(line, NULL, 10) != kib && now_ns() < until);
	return strtoul(line, NULL, 10) == kib;
}

/* Memory given back to the hypervisor, and taken again. */
static void balloon(void)
{
	const unsigned long total = total_kib();
	unsigned long kib;
	char line[32];
	bool ok;

	read_line(BALLOON "info/current_kb", line, sizeof(line));
	kib = strtoul(line, NULL, 10);
	ok = balloon_to(kib - STEP);
	check(ok && total_kib() <= total - STEP, "balloon: 16 MiB given back",
	      "%lu of %lu KiB left", total_kib(), total);
	ok = balloon_to(kib);
	check(ok && total_kib() == total, "balloon: and taken again", "%lu of %lu KiB", total_kib(),
	      total);
}

static void second_cpu(void)
{
	const long all = sysconf(_SC_NPROCESSORS_ONLN);
	char line[32];
	bool off;

	if (access(CPU1, F_OK))
		return;
	off = write_line(CPU1, "0") && sysconf(_SC_NPROCESSORS_ONLN) == all - 1;
	usleep(50000);
	check(off, "a vCPU switched off", "%ld on line", sysconf(_SC_NPROCESSORS_ONLN));
	check(write_line(CPU1, "1") && sysconf(_SC_NPROCESSORS_ONLN) == all, "and on again",
	      "%ld on line", sysconf(_SC_NPROCESSORS_ONLN));
	read_line(CPU1, line, sizeof(line));
	check(!strcmp(line, "1"), "which the kernel knows", "%s", line);
}

void domain(void)
{
	if (!hypervisor())
		return;
	store();
	balloon();
	second_cpu();
}
