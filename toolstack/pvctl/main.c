/* SPDX-License-Identifier: MIT */
/* The table of commands. */
#include "toolstack/pvctl/pvctl.h"

#include <signal.h>
#include <string.h>

#include "hypercalls/pvdom/version.h"
#include "toolstack/pvd/std.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what; /* NULL: for pvd, not for people */
} commands[] = {
	{"create", cmd_create, "make a domain from a config file or from options"},
	{"list", cmd_list, "the domains"},
	{"console", cmd_console, "attach to a domain's console (leave with ^])"},
	{"info", cmd_info, "the host, or one domain"},
	{"shutdown", cmd_shutdown, "ask a domain to power off"},
	{"reboot", cmd_reboot, "ask a domain to reboot"},
	{"destroy", cmd_destroy, "end a domain at once"},
	{"pause", cmd_pause, "stop a domain's virtual CPUs"},
	{"unpause", cmd_unpause, "let them run again"},
	{"vcpu-list", cmd_vcpu_list, "every virtual CPU"},
	{"domid", cmd_domid, "a domain's number by its name"},
	{"domname", cmd_domname, "a domain's name by its number"},
	{"uptime", cmd_uptime, "how long each domain has been there"},
	{"dmesg", cmd_dmesg, "the broker's log"},
	{"bench", cmd_bench, "time the hypercalls in the demo guest"},
	{"block-attach", cmd_block_attach, "give a running domain a disk"},
	{"block-detach", cmd_block_detach, "take one away"},
	{"block-list", cmd_block_list, "a domain's disks"},
	{"block-resize", cmd_block_resize, "tell a domain that a disk has another size"},
	{"cd-insert", cmd_cd_insert, "put an image into a CD-ROM drive"},
	{"cd-eject", cmd_cd_eject, "leave it empty"},
	{"network-attach", cmd_network_attach, "give a running domain a network interface"},
	{"network-detach", cmd_network_detach, "take one away"},
	{"network-list", cmd_network_list, "a domain's network interfaces"},
	{"exec", cmd_exec, "run an unmodified Xen tool: pvctl exec -- xl list"},
	{"gdb", cmd_gdb, "debug a domain with gdb"},
	{"trace", cmd_trace, "write what a domain's guest does to a file"},
	{"check", cmd_check, "compare translated code with a reference"},
	{"scan", cmd_scan, "instructions of a kernel or module that cannot stay in a PV guest"},
	{"reap", cmd_reap, NULL},
};

static int help(FILE *to, int status)
{
	fputs("Usage: pvctl COMMAND [ARGUMENTS]\n"
	      "Xen paravirtual guests in ordinary processes.\n\n",
	      to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].what)
			fprintf(to, "  %-14s %s\n", commands[i].name, commands[i].what);
	fputs("\n`pvctl COMMAND --help` says more, `pvctl --version` which this is; pvctl(1) says all.\n"
	      "Try: pvctl create --kernel build/guest/pv-guest --name demo -c\n",
	      to);
	return status;
}

int main(int argc, char **argv)
{
	std_open();
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		return help(stderr, 2);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return help(stdout, 0);
	if (version_asked("pvctl", argc, argv))
		return 0;
	runtime_dir();
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "pvctl: there is no command '%s'; see `pvctl --help`\n", argv[1]);
	return 2;
}
