/* SPDX-License-Identifier: MIT */
/* create, console, bench. */
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char create_help[] =
	"Usage: pvctl create [CONFIG] [OPTIONS]\n"
	"Make a domain from a file in xl.cfg syntax, from options, or from both (options win).\n\n"
	"  --kernel FILE     64-bit Xen PV kernel: an ELF file or a bzImage\n"
	"  --ramdisk FILE    its initial ramdisk\n"
	"  --cmdline TEXT    its command line\n"
	"  --memory MIB      memory in MiB (64)\n"
	"  --vcpus N         virtual CPUs (1)\n"
	"  --name NAME       its name\n"
	"  --provider NAME   how it runs: vtx (VT-x, needs pvhost.ko), process, or auto,\n"
	"                    the best that works here (auto)\n"
	"  -c, --console     attach to its console; leave with ^]\n"
	"  -p, --paused      do not start it\n"
	"  -w, --wait        wait until it ends; exit status 0 after poweroff, 1 after a crash\n\n"
	"Example: pvctl create --kernel build/guest/pv-guest --memory 32 --name demo -c\n";

static unsigned long number(const char *what, const char *s)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(s, &end, 10);
	if (*end || end == s || *s == '-' || errno)
		die("%s: '%s' is not a number", what, s);
	return n;
}

static void text(const char *what, char *to, size_t size, const char *s)
{
	if (strlen(s) >= size)
		die("%s is too long (at most %zu characters)", what, size - 1);
	if (strchr(s, '\n'))
		die("%s: no line breaks", what);
	strcpy(to, s);
}

static void absolute(char *path, size_t size)
{
	char full[PATH_MAX];

	if (*path && realpath(path, full) && strlen(full) < size)
		strcpy(path, full);
}

static const struct option create_opts[] = {
	{"kernel", required_argument, 0, 'k'},	 {"ramdisk", required_argument, 0, 'r'},
	{"cmdline", required_argument, 0, 'x'},	 {"memory", required_argument, 0, 'm'},
	{"vcpus", required_argument, 0, 'v'},	 {"name", required_argument, 0, 'n'},
	{"provider", required_argument, 0, 'P'}, {"console", no_argument, 0, 'c'},
	{"paused", no_argument, 0, 'p'},	 {"wait", no_argument, 0, 'w'},
	{"help", no_argument, 0, 'h'},		 {0},
};

struct how {
	bool console, paused, wait;
};

static void option(int opt, struct config *c, struct how *how)
{
	switch (opt) {
	case 'k': text("--kernel", c->kernel, sizeof(c->kernel), optarg); break;
	case 'r': text("--ramdisk", c->ramdisk, sizeof(c->ramdisk), optarg); break;
	case 'x': text("--cmdline", c->cmdline, sizeof(c->cmdline), optarg); break;
	case 'n': text("--name", c->name, sizeof(c->name), optarg); break;
	case 'P': text("--provider", c->provider, sizeof(c->provider), optarg); break;
	case 'm': c->memory = number("--memory", optarg); break;
	case 'v': c->vcpus = number("--vcpus", optarg); break;
	case 'c': how->console = true; break;
	case 'p': how->paused = true; break;
	case 'w': how->wait = true; break;
	case 'h': fputs(create_help, stdout); exit(0);
	default: fputs("Try `pvctl create --help`.\n", stderr); exit(2);
	}
}

static int scan(int argc, char **argv, struct config *c, struct how *how)
{
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "cpwh", create_opts, NULL)) != -1)
		option(opt, c, how);
	if (argc - optind > 1) {
		fputs("pvctl: create takes one config file\n", stderr);
		exit(2);
	}
	return optind;
}

int cmd_create(int argc, char **argv)
{
	struct config c;
	struct how how = {0};
	uint32_t domid;
	int at;

	config_default(&c);
	at = scan(argc, argv, &c, &how);
	if (at < argc) { /* the file first, then the options once more over it */
		config_default(&c);
		config_read(&c, argv[at]);
		scan(argc, argv, &c, &how);
	}
	absolute(c.kernel, sizeof(c.kernel));
	absolute(c.ramdisk, sizeof(c.ramdisk));
	connect_broker(true);
	if (domain_build(&c, &domid))
		return 1;
	if (how.console)
		return console_attach(domid, !how.paused, true);
	if (how.wait)
		return domain_wait(domid, !how.paused);
	if (!how.paused && xc_domain_unpause(xch, domid)) {
		domain_remove(domid);
		die("domain %u cannot be started: %s", domid, strerror(errno));
	}
	return 0;
}

int cmd_console(int argc, char **argv)
{
	if (argc != 2 || *argv[1] == '-') {
		puts("Usage: pvctl console DOMAIN\nAttach to its console; leave with ^].\n\n"
		     "Example: pvctl console demo");
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	connect_broker(true);
	return console_attach(find_domain(argv[1]), false, false);
}

int cmd_bench(int argc, char **argv)
{
	char dir[PATH_MAX], kernel[PATH_MAX + 32], name[32];
	char *args[] = {"create",    "--kernel",       kernel, "--name", name,
			"--cmdline", "cmd=bench;halt", "-c",   0};

	if (argc > 1) {
		puts("Usage: pvctl bench\nTime every hypercall family in the demo guest.\n\n"
		     "Example: pvctl bench | tee bench.txt");
		return strcmp(argv[1], "--help") ? 2 : 0;
	}
	snprintf(kernel, sizeof(kernel), "%s/../guest/pv-guest", own_dir(dir, sizeof(dir)));
	if (access(kernel, R_OK))
		snprintf(kernel, sizeof(kernel), "%s/../lib/pavane/pv-guest", dir);
	snprintf(name, sizeof(name), "bench-%d", getpid());
	return cmd_create(8, args);
}
