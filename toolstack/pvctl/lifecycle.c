/* SPDX-License-Identifier: MIT */
/* shutdown, reboot, destroy, pause, unpause, and what happens when a domain has ended (reap). */
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES  3000 /* of 10 ms: an attached pvctl reads the last lines meanwhile */
#define STORE_TRIES 1000 /* of 10 ms */

/* The domain that is the only argument; or the usage, and the end. */
static uint32_t the_domain(int argc, char **argv, const char *options, const char *what)
{
	if (argc == 2 && strcmp(argv[1], "--help")) {
		uint32_t domid;

		connect_broker(false);
		domid = find_domain(argv[1]);
		if (!domid)
			die("domain 0 is the host itself: there is nothing to %s", argv[0]);
		return domid;
	}
	fprintf(argc == 2 ? stdout : stderr,
		"Usage: pvctl %s %sDOMAIN\n%s DOMAIN is a name or a number.\n\n"
		"Example: pvctl %s demo\n",
		argv[0], options, what, argv[0]);
	exit(argc == 2 ? 0 : 2);
}

static int ask(uint32_t domid, const char *how)
{
	char path[64];

	if (!xsh)
		die("the store does not answer; `pvctl destroy` works without it");
	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", domid);
	if (!xs_write(xsh, XBT_NULL, path, how, strlen(how)))
		die("domain %u cannot be asked: %s", domid, strerror(errno));
	return 0;
}

int cmd_shutdown(int argc, char **argv)
{
	const bool wait = argc > 1 && (!strcmp(argv[1], "-w") || !strcmp(argv[1], "--wait"));
	xc_domaininfo_t info;
	uint32_t domid;

	if (wait) {
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	domid = the_domain(argc, argv, "[-w] ",
			   "Ask its kernel to power off; with -w, wait until it has.");
	ask(domid, "poweroff");
	while (wait && domain_alive(domid, &info) && !(info.flags & XEN_DOMINF_shutdown))
		usleep(20000);
	return 0;
}

int cmd_reboot(int argc, char **argv)
{
	return ask(the_domain(argc, argv, "", "Ask its kernel to reboot."), "reboot");
}

int cmd_destroy(int argc, char **argv)
{
	uint32_t domid = the_domain(argc, argv, "", "End it at once.");

	domain_remove(domid);
	return 0;
}

static const char *why(void)
{
	return errno == EIO ? "its process does not answer; `pvctl destroy` ends it"
			    : strerror(errno);
}

int cmd_pause(int argc, char **argv)
{
	uint32_t domid = the_domain(argc, argv, "", "Stop its virtual CPUs until unpause.");

	if (xc_domain_pause(xch, domid))
		die("domain %u cannot be paused: %s", domid, why());
	return 0;
}

int cmd_unpause(int argc, char **argv)
{
	uint32_t domid = the_domain(argc, argv, "", "Let a paused domain run.");

	if (xc_domain_unpause(xch, domid))
		die("domain %u cannot be unpaused: %s", domid,
		    errno == EINVAL ? "it is not paused" : why());
	return 0;
}

static void leave_reason(uint32_t domid, unsigned reason)
{
	char path[160];
	FILE *f;

	domain_path(path, domid, "exit");
	f = fopen(path, "w");
	if (f) {
		fprintf(f, "%u\n", reason);
		fclose(f);
	}
}

/* A reader that holds the lock for so long (it was stopped, or its pipe is full) gets the reason.
 */
static void wait_for_reader(uint32_t domid, unsigned reason)
{
	char path[160];
	int fd;

	domain_path(path, domid, "lock");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		if (i == LOCK_TRIES) {
			leave_reason(domid, reason);
			break;
		}
		usleep(10000);
	}
	close(fd);
}

/* A store that has died is started anew once no domain is left; this one may have been the last. */
static bool store_back(void)
{
	for (int i = 0; !xsh && i < STORE_TRIES; i++) {
		usleep(10000);
		xsh = xs_open(0);
	}
	return xsh;
}

/*
 * Run by pvd when a domain that pvctl made has shut down: what its config says for the reason.
 */
int cmd_reap(int argc, char **argv)
{
	xc_domaininfo_t info;
	struct config c;
	char path[160], action[16];
	struct stat st;
	time_t started = 0;
	uint32_t domid;
	unsigned reason;

	if (argc != 2)
		return 2;
	domid = strtoul(argv[1], NULL, 10);
	connect_broker(false);
	if (!domain_alive(domid, &info) || !(info.flags & XEN_DOMINF_shutdown))
		return 0;
	domain_path(path, domid, "cfg"); /* written when it was made */
	if (!stat(path, &st))
		started = st.st_mtime;
	reason = (info.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
	if (!config_action(domid, reason, action) || !strcmp(action, "preserve"))
		return 0;
	if (!strcmp(action, "restart") && !config_load(&c, domid))
		return 0;
	wait_for_reader(domid, reason);
	if (strcmp(action, "restart")) {
		domain_remove(domid);
		return 0;
	}
	/* Not in a busy loop if it ends at once each time. */
	if (time(NULL) - started < 2)
		sleep(1);
	if (!domain_alive(domid, &info)) /* destroyed meanwhile: that was meant */
		return 0;
	domain_remove(domid);
	if (!store_back())
		die("domain %u cannot be started again: the store does not answer", domid);
	if (domain_build(&c, &domid) || xc_domain_unpause(xch, domid))
		return 1;
	return 0;
}
