/* SPDX-License-Identifier: MIT */
/* monitor/debug.c, and what of sched.c stops for it: breakpoints, steps, events, a crash that
 * waits. */
#include "hypercalls/monitor/decode.h"
#include "tests/unit/fake_monitor.h"

#define TF	 0x100UL
#define MAPPED	 4 /* pages of `guest` that the tables know, in RAM frames of the same order */
#define VA(page) ((uint64_t)guest + (page)*PAGE_SIZE)

static uint8_t *frame(unsigned page)
{
	return ram + (PVDOM_MFN_RAM + page) * PAGE_SIZE;
}

uint64_t walk_any(struct vcpu *v, uint64_t va)
{
	const uint64_t page = (va - (uint64_t)guest) / PAGE_SIZE;

	return page < MAPPED ? (PVDOM_MFN_RAM + page) << PAGE_SHIFT | PTE_P : 0;
}

static unsigned delivered;

void trap_deliver(struct vcpu *v, unsigned vector, int64_t error)
{
	delivered++;
}

static int setup(void **state)
{
	const int rc = fake_setup(state);

	for (unsigned i = 0; i < MAPPED * PAGE_SIZE; i++)
		frame(0)[i] = i % 251;
	debug_attach(&dom, false); /* breakpoints of the test before */
	vcpus[0].parked = vcpus[1].parked = true;
	debug_attach(&dom, true);
	return rc;
}

static void breakpoints(void **state)
{
	const uint64_t va = VA(1) + 7;
	const uint8_t old = frame(1)[7], other = old + 1;
	uint8_t buf[16];

	assert_int_equal(debug_breakpoint(&vcpus[0], va, true), 0);
	assert_int_equal(frame(1)[7], 0xcc);
	assert_int_equal(debug_breakpoint(&vcpus[1], va, true), 0); /* it is there */
	assert_int_equal(debug_read(&vcpus[0], va - 4, buf, 16), 16);
	assert_int_equal(buf[4], old);
	assert_memory_equal(buf + 5, frame(1) + 8, 11);
	assert_int_equal(debug_read(&vcpus[0], va + 1, buf, 16), 16);
	assert_memory_equal(buf, frame(1) + 8, 16);
	assert_int_equal(debug_write(&vcpus[0], va, &other, 1), 1);
	assert_int_equal(frame(1)[7], 0xcc);
	assert_int_equal(debug_breakpoint(&vcpus[0], va, false), 0);
	assert_int_equal(frame(1)[7], other);
	assert_int_equal(debug_breakpoint(&vcpus[0], va, false), -ENOENT);
	assert_int_equal(frames[PVDOM_MFN_RAM + 1].type_count, 0);
}

/* The guest has put something else there meanwhile. */
static void breakpoint_overwritten(void **state)
{
	assert_int_equal(debug_breakpoint(&vcpus[0], VA(0), true), 0);
	frame(0)[0] = 0x55;
	assert_int_equal(debug_breakpoint(&vcpus[0], VA(0), false), 0);
	assert_int_equal(frame(0)[0], 0x55);
}

static void breakpoints_refused(void **state)
{
	assert_int_equal(debug_breakpoint(&vcpus[0], VA(MAPPED), true), -EFAULT);
	frames[PVDOM_MFN_RAM + 2].type = FT_L1;
	frames[PVDOM_MFN_RAM + 2].type_count = 1;
	assert_int_equal(debug_breakpoint(&vcpus[0], VA(2), true), -EFAULT);
	for (unsigned i = 0; i < DEBUG_BREAKPOINTS; i++)
		assert_int_equal(debug_breakpoint(&vcpus[0], VA(0) + i, true), 0);
	assert_int_equal(debug_breakpoint(&vcpus[0], VA(1), true), -ENOSPC);
	debug_attach(&dom, false);
	for (unsigned i = 0; i < DEBUG_BREAKPOINTS; i++)
		assert_int_equal(frame(0)[i], i % 251);
	assert_int_equal(debug_breakpoint(&vcpus[0], VA(0), true), -EINVAL);
}

static void memory_of_many_pages(void **state)
{
	static uint8_t buf[2 * MAPPED * PAGE_SIZE];

	assert_int_equal(debug_read(&vcpus[0], VA(0) + 5, buf, sizeof(buf)),
			 MAPPED * PAGE_SIZE - 5);
	assert_memory_equal(buf, frame(0) + 5, MAPPED * PAGE_SIZE - 5);
	assert_int_equal(debug_read(&vcpus[0], VA(MAPPED), buf, 1), 0);
	frames[PVDOM_MFN_RAM + 2].type = FT_L4; /* a table is not written */
	frames[PVDOM_MFN_RAM + 2].type_count = 1;
	memset(buf, 0x11, sizeof(buf));
	assert_int_equal(debug_write(&vcpus[0], VA(1) + 96, buf, sizeof(buf)), PAGE_SIZE - 96);
	assert_int_equal(frame(2)[0], 2 * PAGE_SIZE % 251);
	assert_int_equal(frame(1)[96], 0x11);
}

static void report(bool still, uint32_t vcpu, uint32_t event)
{
	uint32_t at = ~0U, what;

	assert_int_equal(debug_report(&dom, &at, &what), still);
	assert_int_equal(what, event);
	if (event)
		assert_int_equal(at, vcpu);
}

static void traps(void **state)
{
	struct vcpu *v = &vcpus[1];

	assert_int_equal(debug_breakpoint(v, VA(0) + 9, true), 0);
	report(false, 0, 0); /* parked, but not because it has to be */
	v->regs.rip = VA(0) + 10;
	assert_true(debug_trap(v, 3, 0));
	assert_int_equal(v->regs.rip, VA(0) + 9);
	assert_true(vcpus[0].held && vcpus[1].held && dom.debug_tell);
	report(true, 1, 3);
	report(true, 0, 0); /* told once */

	/* The guest's own int3 and #DB. */
	guest[20] = 0xcc;
	v->regs.rip = VA(0) + 21;
	assert_false(debug_trap(v, 3, 0));
	assert_int_equal(v->regs.rip, VA(0) + 21);
	assert_false(debug_trap(v, 1, DR6_BS));
	/* One that the debugger has taken away since the CPU met it. */
	guest[20] = 0x90;
	debug_attach(&dom, false);
	assert_true(debug_trap(v, 3, 0));
	assert_int_equal(v->regs.rip, VA(0) + 20);
	assert_false(vcpus[0].held || vcpus[1].held);
}

static void steps(void **state)
{
	struct vcpu *v = &vcpus[0];

	v->regs.rip = VA(0);
	v->parked = false;
	assert_int_equal(debug_step(v, true), -EBUSY);
	v->parked = true;
	assert_int_equal(debug_step(v, true), 0);
	assert_true(v->regs.rflags & TF);
	assert_int_equal(debug_step(v, false), 0);
	assert_false(v->regs.rflags & TF);
	assert_int_equal(debug_step(v, true), 0);
	v->regs.rip++;
	assert_true(debug_trap(v, 1, DR6_BS));
	assert_false(v->regs.rflags & TF || v->stepping);
	report(true, 0, 1);

	/* pushf stores the flags as the guest has them. */
	guest[0] = 0x9c;
	v->regs.rip = VA(0);
	assert_int_equal(debug_step(v, true), 0);
	v->regs.rip++;
	v->regs.rsp = VA(1);
	*(uint64_t *)(guest + PAGE_SIZE) = 0x246 | TF;
	assert_true(debug_trap(v, 1, DR6_BS));
	assert_int_equal(*(uint64_t *)(guest + PAGE_SIZE), 0x246);

	/* Behind what was carried out for the guest its caller ends the step: no #DB of the
	 * guest's. */
	assert_int_equal(debug_step(v, true), 0);
	v->debugreg[6] = delivered = 0;
	insn_done(v, 3);
	assert_true(v->stepping);
	assert_int_equal(delivered, 0);
	assert_int_equal(v->debugreg[6], 0);
	debug_stepped(v);
	v->regs.rflags |= TF;
	insn_done(v, 3);
	assert_int_equal(delivered, 1);
	assert_true(v->debugreg[6] & DR6_BS);
	v->regs.rflags &= ~TF;

	/* A step of a debugger that has gone ends without a word. */
	assert_int_equal(debug_step(v, true), 0);
	v->parked = false;
	debug_attach(&dom, false);
	assert_true(v->stepping);
	assert_true(debug_trap(v, 1, DR6_BS));
	assert_false(v->held || v->stepping);
}

static void *park(void *arg)
{
	current = arg;
	vcpu_park(arg);
	return NULL;
}

static bool soon(bool (*what)(void))
{
	for (int i = 0; i < 60000 && !what(); i++)
		usleep(1000);
	return what();
}

static bool parked(void)
{
	return __atomic_load_n(&vcpus[0].parked, __ATOMIC_SEQ_CST) && up_calls;
}

static bool shutdown_told(void)
{
	return __atomic_load_n(&up_op, __ATOMIC_SEQ_CST) == UP_SHUTDOWN;
}

/* The broker hears of the stop, and of the crash only when the debugger lets go. */
static void crash_waits(void **state)
{
	pthread_t t, other;

	vcpus[0].parked = false;
	domain_crash(&vcpus[0], "a test");
	assert_int_equal(dom.shutdown, SHUTDOWN_crash);
	assert_true(vcpus[0].held);
	assert_int_equal(pthread_create(&t, NULL, park, &vcpus[0]), 0);
	assert_true(soon(parked));
	assert_int_equal(up_op, UP_DEBUG);
	report(true, 0, DEBUG_CRASHED);
	/* The debugger lets the other vCPU go, as it had begun to before the crash. */
	debug_hold(&vcpus[1], false);
	vcpus[1].parked = false;
	assert_int_equal(pthread_create(&other, NULL, park, &vcpus[1]), 0);
	usleep(20000);
	assert_int_equal(up_calls, 1);
	debug_hold(&vcpus[0], false);
	assert_true(soon(shutdown_told));
	dom.shutdown = -1;
	vcpu_wake(&vcpus[0]);
	vcpu_wake(&vcpus[1]);
	pthread_join(t, NULL);
	pthread_join(other, NULL);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(breakpoints),
		TEST(breakpoint_overwritten),
		TEST(breakpoints_refused),
		TEST(memory_of_many_pages),
		TEST(traps),
		TEST(steps),
		TEST(crash_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
