/* SPDX-License-Identifier: MIT */
/* create, console, bench. */
#include "toolstack/pvctl/device.h"
#include "toolstack/pvctl/output.h"
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
	"  --name NAME       its name (guest1, guest2, ...)\n"
	"  --provider NAME   how it runs: vtx (VT-x, needs pvhost.ko), process (no hardware and no\n"
	"                    privileges: as it is, or translated if its kernel is in the upper\n"
	"                    half, as Linux is), translate (translated in any case: user mode,\n"
	"                    too), or auto, the best that works here (auto)\n"
	"  --disk SPEC       a disk, as in xl-disk-configuration(5): FILE,FORMAT,VDEV,ACCESS;\n"
	"                    may be given again\n"
	"  --net SPEC        a network interface, as in xl-network-configuration(5); beside its\n"
	"                    keys mode=slirp (the default), tap or bridge, and for slirp\n"
	"                    hostfwd=tcp:[ADDRESS]:PORT-:PORT; may be given again; --net '' is\n"
	"                    one with all defaults\n"
	"  --trace FILE      write what its guest does to FILE; see `pvctl trace --help`\n"
	"  --check FILE      compare translated code with a reference; see `pvctl check --help`\n"
	"  --dry-run         print what would be made, as JSON, and make nothing\n"
	"  -c, --console     attach to its console; leave with ^]\n"
	"  -p, --paused      do not start it\n"
	"  -w, --wait        wait until it ends; exit status 0 after poweroff, 1 after a crash\n\n"
	"A frame buffer (vfb), folders (p9) and what happens at an end are for the file: pvctl(1).\n"
	"Disks and interfaces given here take the place of the file's.\n\n"
	"Examples:\n"
	"  pvctl create --kernel build/guest/pv-guest --memory 32 --name demo -c\n"
	"  truncate -s 1G disk.img\n"
	"  pvctl create --kernel build/guest/pv-guest --name demo -c --disk disk.img,raw,xvda,rw \\\n"
	"      --net hostfwd=tcp:127.0.0.1:8080-:80\n";

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

/* clang-format off */
static const struct option create_opts[] = {
	{"kernel", required_argument, 0, 'k'},
	{"ramdisk", required_argument, 0, 'r'},
	{"cmdline", required_argument, 0, 'x'},
	{"memory", required_argument, 0, 'm'},
	{"vcpus", required_argument, 0, 'v'},
	{"name", required_argument, 0, 'n'},
	{"provider", required_argument, 0, 'P'},
	{"console", no_argument, 0, 'c'},
	{"paused", no_argument, 0, 'p'},
	{"wait", no_argument, 0, 'w'},
	{"disk", required_argument, 0, 'd'},
	{"net", required_argument, 0, 'N'},
	{"trace", required_argument, 0, 't'},
	{"check", required_argument, 0, 'C'},
	{"dry-run", no_argument, 0, 'D'},
	{"help", no_argument, 0, 'h'},
	{0},
};
/* clang-format on */

struct how {
	bool console, paused, wait, dry;
	const char *trace, *check;
	struct text_list disk, net; /* of the command line */
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
	case 'D': how->dry = true; break;
	case 't': how->trace = optarg; break;
	case 'C': how->check = optarg; break;
	case 'd': list_add(&how->disk, optarg); break;
	case 'N': list_add(&how->net, optarg); break;
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

/* The config of the command line and the file it names. */
static void gather(int argc, char **argv, struct config *c, struct how *how)
{
	struct how again = {0};
	int at;

	config_default(c);
	at = scan(argc, argv, c, how);
	if (at < argc) { /* the file first, then the options once more over it */
		config_default(c);
		config_read(c, argv[at]);
		scan(argc, argv, c, &again);
	}
	if (how->disk.n)
		c->disk = how->disk;
	if (how->net.n)
		c->vif = how->net;
	absolute(c->kernel, sizeof(c->kernel));
	absolute(c->ramdisk, sizeof(c->ramdisk));
}

static int dry_run(struct config *c)
{
	struct device_list devices;

	if (!*c->name)
		strcpy(c->name, "guest1");
	if (domain_check(c) || devices_of(c, &devices))
		return 1;
	devices_print(c, &devices);
	devices_free(&devices);
	return 0;
}

int cmd_create(int argc, char **argv)
{
	struct config c;
	struct how how = {0};
	struct output_file trace, check;
	uint32_t domid;

	gather(argc, argv, &c, &how);
	if (how.dry)
		return dry_run(&c);
	connect_broker(true);
	if (how.trace)
		output_open(&trace, &trace_output, how.trace);
	if (how.check)
		output_open(&check, &check_output, how.check);
	if (!*c.name)
		name_unnamed(&c);
	if (domain_build(&c, &domid))
		return 1;
	if ((how.trace && output_begin(domid, &trace)) ||
	    (how.check && output_begin(domid, &check))) {
		domain_remove(domid);
		return 1;
	}
	if (how.console || how.wait)
		domain_finished(domid);
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

static const char console_help[] =
	"Usage: pvctl console [--read-only | --log] DOMAIN\n"
	"Attach to a domain's console; leave with ^]. One at a time has it: who comes later reads\n"
	"along and cannot type.\n\n"
	"  -r, --read-only   read along, even if nobody has it\n"
	"  -l, --log         print what it has said so far (at least the last 16 MiB); DOMAIN may be\n"
	"                    the name of one that is gone\n\n"
	"Example: pvctl console demo\n";

int cmd_console(int argc, char **argv)
{
	const char *option = argc == 3 ? argv[1] : "", *who = argc > 1 ? argv[argc - 1] : "--";
	const bool log = !strcmp(option, "-l") || !strcmp(option, "--log"),
		   along = !strcmp(option, "-r") || !strcmp(option, "--read-only");

	if ((argc != 2 && !log && !along) || *who == '-') {
		const bool asked = argc == 2 && !strcmp(who, "--help");

		fputs(console_help, asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	connect_broker(true);
	if (log)
		return console_print_log(who);
	if (along)
		return console_read_only(find_domain(who));
	return console_attach(find_domain(who), false, false);
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
