/* SPDX-License-Identifier: MIT */
/* An exit and the way back in, in KVM: handled by it, and by the process. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/bench/lab/bench.h"
#include "tests/lab/kvm.h"

#define EXITS  100
#define RESULT 0x2000

/* Real mode: esi = tsc; do { eax = 99; vmcall } while (--ecx); RESULT = tsc - esi; hlt */
static const char vmcall_loop[] = "\x0f\x31\x66\x89\xc6"  /* rdtsc; mov %eax, %esi */
				  "\x66\xb8\x63\0\0\0"	  /* 1: mov $99, %eax: no hypercall */
				  "\x0f\x01\xc1"	  /* vmcall */
				  "\x66\x49\x75\xf3"	  /* dec %ecx; jnz 1b */
				  "\x0f\x31\x66\x29\xf0"  /* rdtsc; sub %esi, %eax */
				  "\x66\xa3\x00\x20\xf4"; /* mov %eax, RESULT; hlt */
static const char out_loop[] = "\xe6\x10\xeb\xfc";	  /* 1: out %al, $16; jmp 1b */

static struct kvm_guest g;
static int stats = -1;
static off_t exits_at;

static uint64_t exits(void)
{
	uint64_t n;

	if (pread(stats, &n, sizeof(n), exits_at) != sizeof(n))
		give_up("KVM's statistics");
	return n;
}

static const struct side side = {.name = "kvm", .exits = exits};

/* Where KVM counts the vCPU's exits (Documentation/virt/kvm/api.rst, 4.133). */
static void exits_find(void)
{
	struct {
		struct kvm_stats_desc desc;
		char name[48];
	} d;
	struct kvm_stats_header h;
	off_t at;

	stats = ioctl(g.vcpu, KVM_GET_STATS_FD, NULL);
	if (stats < 0 || pread(stats, &h, sizeof(h), 0) != sizeof(h) ||
	    h.name_size > sizeof(d.name))
		give_up("KVM_GET_STATS_FD");
	for (uint32_t i = 0; i < h.num_desc; i++) {
		at = h.desc_offset + i * (sizeof(d.desc) + h.name_size);
		if (pread(stats, &d, sizeof(d.desc) + h.name_size, at) > 0 &&
		    !strcmp(d.name, "exits")) {
			exits_at = h.data_offset + d.desc.offset;
			return;
		}
	}
	give_up("KVM counts no exits");
}

static void guest(const char *code, size_t size)
{
	const char *what = kvm_guest_open(&g, code, size);

	if (what)
		give_up(what);
	exits_find();
}

/* The ticks are the guest's own: the first entry and the exit of hlt are not among them. */
static void null_exit(void)
{
	struct row row = {.name = "null-exit", .ops = EXITS};
	uint64_t before;
	uint32_t ticks;

	guest(vmcall_loop, sizeof(vmcall_loop));
	while (row.n < ROUNDS) {
		before = exits();
		if (kvm_guest_start(&g, EXITS) || kvm_guest_run(&g) != KVM_EXIT_HLT)
			give_up("the guest's loop");
		memcpy(&ticks, g.memory + RESULT, sizeof(ticks));
		row.ticks[row.n] = ticks;
		row.exits[row.n++] = exits() - before - 1;
	}
	row_print(&side, &row);
}

static void exit_to_process(void)
{
	struct row row = {.name = "exit-to-process", .ops = EXITS};
	struct mark since;

	guest(out_loop, sizeof(out_loop));
	if (kvm_guest_start(&g, 0))
		give_up("the guest");
	while (row.n < ROUNDS) {
		since = mark(&side);
		for (unsigned i = 0; i < EXITS; i++)
			if (kvm_guest_run(&g) != KVM_EXIT_IO)
				give_up("the guest's out");
		round_end(&side, &row, since);
	}
	row_print(&side, &row);
}

void bench_kvm(void)
{
	ticks_check();
	null_exit();
	exit_to_process();
}
