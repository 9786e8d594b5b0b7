// SPDX-License-Identifier: MIT
// What an exit costs in Debian's KVM. In the lab the TSC counts instructions, so the figures are
// exact and the same in every run; on real hardware they are cycles.
//   kvm-null [COUNT]
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "tests/lab/kvm.h"

enum { RESULT = 0x2000 };

// Real mode: esi = tsc; do { eax = 99; STEP } while (--ecx); *(u32 *)RESULT = tsc - esi; hlt
#define LOOP(a, b, c)                                                                           \
	0x0f, 0x31, 0x66, 0x89, 0xc6, 0x66, 0xb8, 99, 0, 0, 0, a, b, c, 0x66, 0x49, 0x75, 0xf3, \
		0x0f, 0x31, 0x66, 0x29, 0xf0, 0x66, 0xa3, RESULT & 255, RESULT >> 8, 0xf4
static const uint8_t empty_loop[] = {LOOP(0x90, 0x90, 0x90)};
static const uint8_t vmcall_loop[] = {LOOP(0x0f, 0x01, 0xc1)}; // KVM has no hypercall 99
static const uint8_t out_loop[] = {0xe6, 0x10, 0xeb, 0xfc};

static void give_up(const char *what, int reason)
{
	printf("not ok kvm-null: %s: %s, exit reason %d\n", what, strerror(errno), reason);
	exit(1);
}

static void guest(struct kvm_guest *g, const uint8_t *code, size_t size, uint32_t count)
{
	const char *what = kvm_guest_open(g, code, size);

	if (!what)
		what = kvm_guest_start(g, count);
	if (what)
		give_up(what, 0);
}

static uint32_t in_guest(const uint8_t *code, size_t size, uint32_t count)
{
	struct kvm_guest g;
	uint32_t ticks;
	int reason;

	guest(&g, code, size, count);
	reason = kvm_guest_run(&g);
	if (reason != KVM_EXIT_HLT)
		give_up("the guest's loop", reason);
	memcpy(&ticks, g.memory + RESULT, sizeof(ticks));
	return ticks;
}

static uint64_t in_host(uint32_t count)
{
	struct kvm_guest g;
	uint64_t start = 0;

	guest(&g, out_loop, sizeof(out_loop), 0);
	for (uint32_t i = 0; i <= count; i++) {
		int reason = kvm_guest_run(&g);

		if (reason != KVM_EXIT_IO)
			give_up("the guest's out", reason);
		if (i == 0)
			start = __rdtsc();
	}
	return __rdtsc() - start;
}

int main(int argc, char **argv)
{
	uint32_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000;
	uint32_t empty = in_guest(empty_loop, sizeof(empty_loop), count);
	uint32_t vmcall = in_guest(vmcall_loop, sizeof(vmcall_loop), count);
	uint64_t out = in_host(count);

	printf("kvm-null: %.1f ticks per vmcall exit, handled in the kernel\n",
	       ((double)vmcall - empty) / count);
	printf("kvm-null: %.1f ticks per out exit, handled in user space\n", (double)out / count);
	printf("ok kvm-null\n");
	return 0;
}
