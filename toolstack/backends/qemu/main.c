/* SPDX-License-Identifier: MIT */
/*
 * pvqemu: [--state FD] DOMID DEVID. Becomes Debian's QEMU for Xen, which serves the devices of one
 * domain that are not ours to serve: images that are not raw, the frame buffer, shared folders. It
 * finds them in the store by itself, those that come later too; what the command line is to say is
 * read from there as well. pvd starts it, and restricts it to the domain by its process number.
 *
 * QEMU cannot go on where a predecessor ended: devices that were connected to that are closed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xen/io/xenbus.h>
#include <xenstore.h>

#include "hypercalls/pvdom/version.h"
#include "toolstack/backends/qemu/pvqemu.h"
#include "toolstack/pvd/client.h"

#define QEMU	  "/usr/libexec/xen-qemu-system-i386"
#define PACKAGE	  "qemu-system-xen"
#define VNC_PORT  5900
#define DISPLAYS  100 /* looked through for a free one */
#define PATH_SIZE 160
#define MAX_ARGS  40

static struct xs_handle *xs;
static uint32_t domid;
static const char *const kinds[] = {"qdisk", "vfb", "vkbd", "9pfs"};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "pvqemu d%u: %s\n", domid, text);
}

static char *get(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *get(const char *fmt, ...)
{
	char path[PATH_SIZE];
	unsigned len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return xs_read(xs, XBT_NULL, path, &len);
}

static void put(const char *folder, const char *key, const char *value)
{
	char path[PATH_SIZE + 16];

	snprintf(path, sizeof(path), "%s/%s", folder, key);
	xs_write(xs, XBT_NULL, path, value, strlen(value));
}

/* For each of the domain's devices that are QEMU's; how many there are. */
static unsigned for_each(void (*what)(const char *folder, const char *arg), const char *arg)
{
	unsigned total = 0;

	for (size_t k = 0; k < KINDS; k++) {
		char path[PATH_SIZE - 32], device[PATH_SIZE], **names;
		unsigned n = 0;

		snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u", kinds[k], domid);
		names = xs_directory(xs, XBT_NULL, path, &n);
		for (unsigned i = 0; i < n; i++) {
			snprintf(device, sizeof(device), "%s/%.20s", path, names[i]);
			what(device, arg);
		}
		free(names);
		total += n;
	}
	return total;
}

static void write_error(const char *folder, const char *text)
{
	put(folder, "error", text);
}

/* A device of a QEMU that is no more: it begins anew, unless a guest was connected to it. */
static void leave_orphan(const char *folder, const char *unused)
{
	char *state = get("%s/state", folder), number[4];
	const unsigned long s = state ? strtoul(state, NULL, 10) : 0;
	const bool lost = s > XenbusStateInitWait && s < XenbusStateClosed;

	free(state);
	if (s == XenbusStateClosed)
		return;
	if (lost)
		put(folder, "error", "its QEMU has ended");
	snprintf(number, sizeof(number), "%d", lost ? XenbusStateClosed : XenbusStateInitialising);
	put(folder, "state", number);
}

/* Could somebody listen there? */
static bool free_port(const struct in_addr *address, unsigned port)
{
	const struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_addr = *address, .sin_port = htons(port)};
	const int on = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (s < 0)
		return false;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* as QEMU does */
	ok = !bind(s, (const void *)&sa, sizeof(sa)) && !listen(s, 1);
	close(s);
	return ok;
}

/* The display that the guest's vfb asks for, or the next free one. -1: none, and a line. */
static long display(const char *address)
{
	char *number = get("/local/domain/0/backend/vfb/%u/0/vncdisplay", domid),
	     *search = get("/local/domain/0/backend/vfb/%u/0/vncunused", domid);
	const long first = number ? strtol(number, NULL, 10) : 0;
	const bool looking = search && *search == '1';
	struct in_addr in;
	long found = -1;

	free(number);
	free(search);
	if (!inet_aton(address, &in)) /* a name, or IPv6: QEMU is to know */
		return first;
	for (long n = first; found < 0 && n < first + (looking ? DISPLAYS : 1); n++)
		if (free_port(&in, VNC_PORT + n))
			found = n;
	if (found < 0)
		say("vfb: TCP port %ld of %s is in use; vncunused=1 takes the next free one",
		    VNC_PORT + first, address);
	return found;
}

/* Who wants to see the guest's screen reads the port where xl has it, too. */
static void tell_port(const char *address, long number)
{
	char folder[64], port[24];

	snprintf(folder, sizeof(folder), "/local/domain/%u/console", domid);
	snprintf(port, sizeof(port), "%ld", VNC_PORT + number);
	put(folder, "vnc-port", port);
	put(folder, "vnc-listen", address);
}

struct args {
	char *at[MAX_ARGS + 1];
	unsigned n;
};

static void add(struct args *a, const char *text)
{
	a->at[a->n] = strdup(text);
	if (a->n == MAX_ARGS || !a->at[a->n])
		abort();
	a->n++;
}

static void add_all(struct args *a, const char *words)
{
	char *copy = strdup(words), *save = NULL;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		add(a, w);
	free(copy);
}

/* -vnc and what goes with it. -1: no, with a line. */
static int add_vnc(struct args *a)
{
	char *address = get("/local/domain/0/backend/vfb/%u/0/vnclisten", domid), *keymap,
	     text[300];
	long number;

	if (!address) { /* no frame buffer */
		add_all(a, "-vga none");
		return 0;
	}
	number = display(address);
	if (number < 0) {
		free(address);
		return -1;
	}
	snprintf(text, sizeof(text), "%s:%ld", address, number);
	add(a, "-vnc");
	add(a, text);
	keymap = get("/local/domain/0/backend/vfb/%u/0/keymap", domid);
	if (keymap) {
		add(a, "-k");
		add(a, keymap);
		free(keymap);
	}
	tell_port(address, number);
	free(address);
	return 0;
}

static int command_line(struct args *a, const char *qemu)
{
	char *name = get("/local/domain/%u/name", domid), id[16];

	snprintf(id, sizeof(id), "%u", domid);
	add(a, qemu);
	add_all(a, "-M xenpv -xen-attach -xen-domid");
	add(a, id);
	add(a, "-name");
	add(a, name && *name && !strchr(name, ',') ? name : id);
	add_all(a, "-m 1 -no-user-config -nodefaults -display none -serial none -parallel none "
		   "-monitor none");
	free(name);
	return add_vnc(a);
}

static bool number(const char *text, uint32_t *n)
{
	char *end;
	const unsigned long v = strtoul(text, &end, 10);

	*n = v;
	return *text >= '0' && *text <= '9' && !*end && v < 1UL << 31;
}

/* The memfd of pvd's says whether there was another before. */
static bool second(uint32_t fd)
{
	char byte;
	const bool was = pread(fd, &byte, 1, 0) == 1;

	if (pwrite(fd, "1", 1, 0) != 1)
		say("its state cannot be written: %s", strerror(errno));
	return was;
}

static void open_store(char *rundir, size_t size)
{
	char path[160];

	pvd_rundir(rundir, size);
	snprintf(path, sizeof(path), "%s/xenstored", rundir);
	setenv("XENSTORED_RUNDIR", path, 1);
	strcat(path, "/socket");
	setenv("XENSTORED_PATH", path, 1);
	xs = xs_open(0);
}

static int usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: pvqemu [--state FD] DOMID DEVID\n"
		"QEMU (of Debian's package " PACKAGE
		") for one domain's images that are not raw, its\n"
		"frame buffer and its shared folders. pvd starts it. DEVID is 0.\n"
		"$PAVANE_QEMU names another program.\n");
	return status;
}

/* *fd: of the state, or -1. False: wrong usage. */
static bool parse(int argc, char **argv, int *fd)
{
	uint32_t n, devid;
	const int at = argc == 5 ? 3 : 1;

	*fd = -1;
	if (argc != 3 && argc != 5)
		return false;
	if (argc == 5) {
		if (strcmp(argv[1], "--state") || !number(argv[2], &n))
			return false;
		*fd = n;
	}
	return number(argv[at], &domid) && number(argv[at + 1], &devid);
}

/* Becomes QEMU. The exit status of a launcher that could not. */
static int launch(const char *qemu)
{
	static struct args a;

	if (command_line(&a, qemu)) {
		for_each(write_error, "no VNC port is free; see pvd.log");
		return 1;
	}
	xs_close(xs);
	if (sandbox()) {
		say("no sandbox: %s", strerror(errno));
		return 1;
	}
	execv(qemu, a.at);
	say("cannot run %s: %s", qemu, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	const char *env = getenv("PAVANE_QEMU"), *qemu = env && *env ? env : QEMU;
	char rundir[112], text[200];
	int fd;

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(0);
	if (version_asked("pvqemu", argc, argv))
		return 0;
	if (!parse(argc, argv, &fd))
		return usage(2);
	open_store(rundir, sizeof(rundir) - 16);
	if (!xs) {
		say("the store in %s does not answer: %s", rundir, strerror(errno));
		return 1;
	}
	if (fd >= 0 && second(fd))
		for_each(leave_orphan, NULL);
	if (fd >= 0)
		close(fd);
	if (access(qemu, X_OK)) {
		snprintf(text, sizeof(text), "no %s: install the package " PACKAGE, qemu);
		say("%s", text);
		/* nothing is left to be served once the toolstack has taken them away */
		return for_each(write_error, text) ? 1 : 0;
	}
	return launch(qemu);
}
