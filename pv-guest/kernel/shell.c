/* SPDX-License-Identifier: MIT */
/* The shell: a table of commands. */
#include <pv/event.h>
#include <pv/fs.h>
#include <pv/mm.h>
#include <pv/process.h>
#include <pv/time.h>
#include <pv/xenstore.h>
#include "../net/tools.h"
#include "kernel.h"

#define WORDS 8

struct command {
	const char *name, *usage, *help;
	void (*run)(int argc, char **argv);
};

static const struct command commands[];

static void cmd_info(int argc, char **argv)
{
	uint64_t khz = time_tsc_khz();
	xen_capabilities_info_t caps = "";

	HYPERVISOR_xen_version(XENVER_capabilities, caps);
	printf("guest:        pv-guest " PV_GUEST_VERSION "\n");
	printf("xen:          %s (%s)\n", xen_version_string(), start_info->magic);
	printf("capabilities: %s\n", caps);
	printf("domain:       %s\n", is_initial_domain() ? "initial" : "guest");
	printf("command line: %s\n", (const char *)start_info->cmd_line);
	printf("memory:       %lu pages, %lu free\n", page_total(), page_free_count());
	printf("vcpus:        %u\n", nr_vcpus);
	printf("image:        %p-%p\n", _text, _end);
	printf("clock:        %lu.%03lu MHz TSC\n", khz / 1000, khz % 1000);
}

static void cmd_mem(int argc, char **argv)
{
	domid_t self = DOMID_SELF;

	printf("pages:    %lu (%lu KiB), %lu free\n", page_total(), page_total() * 4,
	       page_free_count());
	printf("reserved: %ld of at most %ld pages\n",
	       HYPERVISOR_memory_op(XENMEM_current_reservation, &self),
	       HYPERVISOR_memory_op(XENMEM_maximum_reservation, &self));
	printf("p2m at %lx, boot page tables at %lx (%lu frames)\n", start_info->mfn_list,
	       start_info->pt_base, start_info->nr_pt_frames);
}

static void cmd_ps(int argc, char **argv)
{
	static const char *const states[] = {"free", "ready", "running", "asleep"};
	const struct thread *t;

	printf("%3s %-8s %-7s %10s %8s\n", "id", "name", "state", "run us", "switches");
	for (unsigned int i = 0; (t = thread_get(i)) != NULL; i++) {
		if (t->state == THREAD_FREE)
			continue;
		printf("%3u %-8s %-7s %10lu %8lu\n", t->id, t->name, states[t->state],
		       t->run_ns / 1000, t->switches);
	}
	printf("%lu preemptions\n", thread_preemptions);
}

static void cmd_uptime(int argc, char **argv)
{
	uint64_t up = time_since_boot(), wall = time_wallclock();

	printf("up %lu.%06lu s, hypervisor %lu s, wall clock %lu s since 1970\n", up / SEC,
	       up % SEC / 1000, time_ns() / SEC, wall / SEC);
}

static void report(long rc)
{
	if (rc < 0)
		printf("error %ld: %s\n", -rc, error_words(-rc));
}

static void cmd_xenstore(int argc, char **argv)
{
	char buf[1024];
	long rc = -XEN_EINVAL;

	if (!xenstore_available()) {
		printf("no xenstore\n");
		return;
	}
	if (argc == 3 && !strcmp(argv[1], "read")) {
		rc = xenstore_read(argv[2], buf, sizeof(buf));
		if (rc >= 0)
			printf("%s\n", buf);
	} else if (argc == 3 && !strcmp(argv[1], "ls")) {
		rc = xenstore_list(argv[2], buf, sizeof(buf));
		for (char *p = buf; p < buf + rc; p += strlen(p) + 1)
			printf("%s\n", p);
	} else if (argc == 4 && !strcmp(argv[1], "write")) {
		rc = xenstore_write(argv[2], argv[3]);
	} else if (argc == 3 && !strcmp(argv[1], "rm")) {
		rc = xenstore_remove(argv[2]);
	} else {
		printf("usage: xenstore read|ls|rm PATH, xenstore write PATH VALUE\n");
		return;
	}
	report(rc);
}

static void cmd_evtchn(int argc, char **argv)
{
	static const char *const kinds[] = {"closed", "unbound", "interdomain",
					    "pirq",   "virq",	 "ipi"};

	printf("%lu upcalls\n%4s %-11s %6s %7s %8s\n", event_upcalls, "port", "kind", "masked",
	       "pending", "count");
	for (unsigned int port = 1; port < EVENT_PORTS; port++) {
		struct evtchn_status st = {.dom = DOMID_SELF, .port = port};

		if (HYPERVISOR_event_channel_op(EVTCHNOP_status, &st))
			break;
		if (st.status == EVTCHNSTAT_closed)
			continue;
		printf("%4u %-11s %6d %7d %8lu\n", port,
		       st.status < ARRAY_SIZE(kinds) ? kinds[st.status] : "?",
		       event_is_masked(port), event_is_pending(port), event_counts[port]);
	}
}

static void fault_ud(void *arg)
{
	__asm__ volatile("ud2");
}

static void fault_bp(void *arg)
{
	__asm__ volatile("int3");
}

static void fault_de(void *arg)
{
	__asm__ volatile("xorl %%ecx, %%ecx; divl %%ecx" ::: "eax", "ecx", "edx", "cc");
}

static void fault_gp(void *arg)
{
	*(volatile char *)0x8000000000000000ul;
}

static void fault_pf(void *arg)
{
	*(volatile char *)0x2000000000ul = 1;
}

static void cmd_fault(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void *arg);
	} faults[] = {
		{"ud", fault_ud}, {"bp", fault_bp}, {"de", fault_de},
		{"gp", fault_gp}, {"pf", fault_pf},
	};
	struct trap_regs regs;

	for (unsigned int i = 0; argc > 1 && i < ARRAY_SIZE(faults); i++) {
		if (strcmp(faults[i].name, argv[1]))
			continue;
		if (argc > 2 && !strcmp(argv[2], "fatal"))
			faults[i].fn(NULL);
		if (trap_catch(faults[i].fn, NULL, &regs)) {
			printf("vector %lu error %lx rip %lx", regs.vector, regs.error, regs.rip);
			if (regs.vector == 14)
				printf(" cr2 %lx", this_vcpu->arch.cr2);
			printf("\n");
		} else {
			printf("nothing happened\n");
		}
		return;
	}
	printf("usage: fault ud|bp|de|gp|pf [fatal]\n");
}

static void cmd_bench(int argc, char **argv)
{
	bench_run(argc > 1 ? argv[1] : NULL);
}

static void cmd_disk(int argc, char **argv)
{
	disk_command(argc, argv);
}

static void cmd_selftest(int argc, char **argv)
{
	selftest_run();
}

static void cmd_run(int argc, char **argv)
{
	const char *missing = process_missing();
	int status = 0;
	long pid;

	if (missing || argc < 2) {
		printf("%s\n", missing ? missing : "usage: run NAME [WORD...]");
		return;
	}
	pid = process_spawn(argc - 1, argv + 1);
	report(pid);
	if (pid > 0 && process_wait((int)pid, &status) == pid && status)
		printf("%s: status %d\n", argv[1], status);
}

static void cmd_usertest(int argc, char **argv)
{
	usertest_run();
}

static void cmd_ls(int argc, char **argv)
{
	fs_list(argc > 1 ? argv[1] : NULL);
}

static void cmd_mount(int argc, char **argv)
{
	if (argc < 2)
		printf("usage: mount DEV [noload]\n");
	else
		fs_mount(argv[1], argc > 2 && !strcmp(argv[2], "noload"));
}

static void cmd_umount(int argc, char **argv)
{
	fs_unmount();
}

static void cmd_cat(int argc, char **argv)
{
	if (argc < 2)
		printf("usage: cat FILE...\n");
	for (int i = 1; i < argc; i++)
		fs_cat(argv[i]);
}

static void cmd_sum(int argc, char **argv)
{
	if (argc < 2)
		printf("usage: sum FILE...\n");
	for (int i = 1; i < argc; i++)
		fs_sum(argv[i]);
}

static void cmd_sleep(int argc, char **argv)
{
	thread_sleep((argc > 1 ? strtoul(argv[1], NULL, 0) : 1000) * MSEC);
}

static void cmd_echo(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		printf("%s%s", argv[i], i + 1 < argc ? " " : "");
	printf("\n");
}

static void cmd_reboot(int argc, char **argv)
{
	shutdown(SHUTDOWN_reboot);
}

static void cmd_halt(int argc, char **argv)
{
	shutdown(SHUTDOWN_poweroff);
}

static void cmd_crash(int argc, char **argv)
{
	panic("as you wish");
}

static void cmd_help(int argc, char **argv)
{
	for (const struct command *c = commands; c->name; c++)
		printf("%-9s %-28s %s\n", c->name, c->usage, c->help);
}

static const struct command commands[] = {
	{"help", "", "this list", cmd_help},
	{"info", "", "guest, hypervisor and clock", cmd_info},
	{"mem", "", "memory", cmd_mem},
	{"ps", "", "threads", cmd_ps},
	{"uptime", "", "clocks", cmd_uptime},
	{"xenstore", "read|ls|rm|write PATH [VALUE]", "xenstore", cmd_xenstore},
	{"evtchn", "", "event channels", cmd_evtchn},
	{"fault", "ud|bp|de|gp|pf [fatal]", "raise an exception", cmd_fault},
	{"disk", "[COMMAND DEV ...]", "disks: list, read, fill, bench; disk help", cmd_disk},
	{"bench", "[NAME]", "nanoseconds per operation", cmd_bench},
	{"selftest", "", "check the hypervisor", cmd_selftest},
	{"run", "NAME [WORD...]", "a program of the ramdisk or the mounted disk", cmd_run},
	{"mount", "DEV [noload]", "a disk with ext2, 3 or 4, read-only", cmd_mount},
	{"umount", "", "let it go", cmd_umount},
	{"ls", "[DIRECTORY]", "the ramdisk and the mounted disk", cmd_ls},
	{"cat", "FILE...", "print files", cmd_cat},
	{"sum", "FILE...", "checksums, as cksum(1)'s", cmd_sum},
	{"usertest", "", "check user mode", cmd_usertest},
	{"net", "[static|bench|filter ...]", "interfaces; their speed; filters", net_command},
	{"dhcp", "", "ask for an address", dhcp_command},
	{"ping", "HOST [COUNT [SECONDS]]", "echo requests", ping_command},
	{"tcp", "echo PORT|get|put HOST PORT", "serve; fetch; send", tcp_command},
	{"sleep", "[MS]", "sleep", cmd_sleep},
	{"echo", "WORD...", "print", cmd_echo},
	{"reboot", "", "restart the domain", cmd_reboot},
	{"halt", "", "power off", cmd_halt},
	{"crash", "", "panic", cmd_crash},
	{NULL, NULL, NULL, NULL},
};

static void run_one(char *line)
{
	char *argv[WORDS];
	const int argc = split_words(line, argv, WORDS);

	if (!argc)
		return;
	for (const struct command *c = commands; c->name; c++) {
		if (!strcmp(c->name, argv[0])) {
			c->run(argc, argv);
			return;
		}
	}
	printf("%s: no such command; try help\n", argv[0]);
}

void shell_command(char *line)
{
	char *next;

	for (; line; line = next) {
		next = strchr(line, ';');
		if (next)
			*next++ = 0;
		run_one(line);
	}
}

void shell_run(void)
{
	char line[128];

	for (;;) {
		edit_line("pv> ", line, sizeof(line));
		shell_command(line);
	}
}
