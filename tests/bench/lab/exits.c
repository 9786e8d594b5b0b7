/* SPDX-License-Identifier: MIT */
/* An exit that the process handles, by hand: out of the ioctl, past the instruction, in again. */
#include "tests/bench/lab/bench.h"
#include "tests/pvhost/raw.h"

#define EXITS 100

static struct raw r;

static uint64_t exits(void)
{
	return r.run->exits;
}

static const struct side side = {.name = "pavane", .exits = exits};

void bench_exits(void)
{
	/* 1: vmcall; jmp 1b */
	static const uint8_t loop[] = {0x0f, 0x01, 0xc1, 0xeb, 0xfb};
	struct row row = {.name = "exit-to-process", .ops = EXITS};
	struct mark since;

	if (raw_open(&r))
		give_up("/dev/pvhost");
	raw_code(&r, loop, sizeof(loop));
	while (row.n < ROUNDS) {
		since = mark(&side);
		for (unsigned i = 0; i < EXITS; i++) {
			if (raw_run(&r) != PVHOST_EXIT_VMCALL)
				give_up("PVHOST_RUN");
			r.run->rip += r.run->instruction_length;
		}
		round_end(&side, &row, since);
	}
	row_print(&side, &row);
	raw_close(&r);
}
