// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: what exits, events and states mean. */
#include <kunit/test.h>

#include <asm/vmx.h>

#include "../../host-driver/linux/driver.h"

#define VALID	     PVHOST_VALID
#define EXCEPTION(n) (VALID | INTR_TYPE_HARD_EXCEPTION | (n))
#define WITH_ERROR   INTR_INFO_DELIVER_CODE_MASK

/* The exceptions that push an error code and that every CPU agrees on. */
static bool has_error(u32 vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void host_events_never_reach_the_process(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_EXTERNAL_INTERRUPT, 0, 0), EXIT_INTERRUPT);
	KUNIT_EXPECT_EQ(test,
			exit_action(EXIT_REASON_EXCEPTION_NMI, VALID | INTR_TYPE_NMI_INTR | 2, 0),
			EXIT_NMI);
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_EXCEPTION_NMI, EXCEPTION(18), 0), EXIT_MCE);
}

static void debug_and_alignment_traps_go_back_in(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_EXCEPTION_NMI, EXCEPTION(1), 0),
			EXIT_REFLECT);
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_EXCEPTION_NMI, EXCEPTION(17) | WITH_ERROR, 0),
			EXIT_REFLECT);
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_EXCEPTION_NMI, EXCEPTION(14), 0), EXIT_USER);
}

static void only_the_null_call_is_the_drivers(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_VMCALL, 0, PVHOST_NOP), EXIT_NOP);
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_VMCALL, 0, PVHOST_NOP + 1), EXIT_USER);
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_VMCALL, 0, (u32)PVHOST_NOP), EXIT_USER);
	KUNIT_EXPECT_EQ(test, exit_action(EXIT_REASON_CPUID, 0, PVHOST_NOP), EXIT_USER);
}

static void every_other_reason_is_the_processs(struct kunit *test)
{
	u32 reason;

	for (reason = 0; reason < 0x100; reason++) {
		const enum exit_action action = exit_action(reason, 0, 0);

		if (reason == EXIT_REASON_EXTERNAL_INTERRUPT)
			KUNIT_EXPECT_EQ(test, action, EXIT_INTERRUPT);
		else if (reason == EXIT_REASON_EPT_VIOLATION)
			KUNIT_EXPECT_EQ(test, action, EXIT_EPT);
		else if (reason == EXIT_REASON_DR_ACCESS)
			KUNIT_EXPECT_EQ(test, action, EXIT_DEBUG);
		else
			KUNIT_EXPECT_EQ_MSG(test, action, EXIT_USER, "reason %u", reason);
	}
}

/* Bit 31, with the reason of something else below: nothing ran, there is nothing to handle. */
static void a_failed_entry_is_told(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, exit_action(VALID | EXIT_REASON_INVALID_STATE, 0, 0), EXIT_USER);
	KUNIT_EXPECT_EQ(test, exit_action(VALID | EXIT_REASON_EPT_VIOLATION, 0, 0), EXIT_USER);
	KUNIT_EXPECT_EQ(test, exit_action(VALID | EXIT_REASON_EXTERNAL_INTERRUPT, 0, 0), EXIT_USER);
}

static void flags_above_the_reason_do_not_hide_it(struct kunit *test)
{
	/* Bit 27: from an enclave. */
	KUNIT_EXPECT_EQ(test, exit_action(1u << 27 | EXIT_REASON_EPT_VIOLATION, 0, 0), EXIT_EPT);
	KUNIT_EXPECT_EQ(test, exit_action(1u << 27 | EXIT_REASON_VMCALL, 0, PVHOST_NOP), EXIT_NOP);
}

static void an_interrupted_delivery_is_repeated(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, exit_reinject(0), 0);
	KUNIT_EXPECT_EQ(test, exit_reinject(EXCEPTION(14) & ~VALID), 0);
	KUNIT_EXPECT_EQ(test, exit_reinject(EXCEPTION(14) | WITH_ERROR),
			EXCEPTION(14) | WITH_ERROR);
	/* "NMI unblocked by iret": of exits only, an entry with it fails. */
	KUNIT_EXPECT_EQ(test, exit_reinject(EXCEPTION(13) | WITH_ERROR | 1u << 12),
			EXCEPTION(13) | WITH_ERROR);
}

static void no_event_is_all_zero(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, exit_event_ok(0, 0, 0));
	KUNIT_EXPECT_TRUE(test, exit_event_ok(0, ~0U, ~0U)); /* nobody will look */
	KUNIT_EXPECT_FALSE(test, exit_event_ok(14, 0, 0));
	KUNIT_EXPECT_FALSE(test, exit_event_ok(INTR_TYPE_SOFT_INTR, 0, 2));
}

static void exceptions_have_their_error_codes(struct kunit *test)
{
	u32 v;

	for (v = 0; v < 256; v++) {
		const bool exception = v < 32;

		KUNIT_EXPECT_EQ_MSG(test, exit_event_ok(EXCEPTION(v), 0, 0),
				    exception && !has_error(v), "vector %u", v);
		KUNIT_EXPECT_EQ_MSG(test, exit_event_ok(EXCEPTION(v) | WITH_ERROR, 0, 0),
				    exception && has_error(v), "vector %u with error code", v);
	}
}

static void error_codes_have_sixteen_bits(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, exit_event_ok(EXCEPTION(14) | WITH_ERROR, 0xffff, 0));
	KUNIT_EXPECT_FALSE(test, exit_event_ok(EXCEPTION(14) | WITH_ERROR, 0x10000, 0));
	KUNIT_EXPECT_FALSE(test, exit_event_ok(EXCEPTION(14) | WITH_ERROR, 0x80000000, 0));
}

static void interrupts_have_any_vector_and_no_error_code(struct kunit *test)
{
	u32 v;

	for (v = 0; v < 256; v++) {
		KUNIT_EXPECT_TRUE(test, exit_event_ok(VALID | INTR_TYPE_EXT_INTR | v, 0, 0));
		KUNIT_EXPECT_TRUE(test, exit_event_ok(VALID | INTR_TYPE_SOFT_INTR | v, 0, 2));
	}
	KUNIT_EXPECT_FALSE(test, exit_event_ok(VALID | INTR_TYPE_EXT_INTR | WITH_ERROR | 32, 0, 0));
	KUNIT_EXPECT_FALSE(test,
			   exit_event_ok(VALID | INTR_TYPE_SOFT_INTR | WITH_ERROR | 128, 0, 2));
}

static void software_events_have_an_instructions_length(struct kunit *test)
{
	static const u32 types[] = {INTR_TYPE_SOFT_INTR, INTR_TYPE_SOFT_EXCEPTION,
				    INTR_TYPE_PRIV_SW_EXCEPTION};
	unsigned int i;
	u32 length;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		for (length = 0; length < 20; length++)
			KUNIT_EXPECT_EQ_MSG(test, exit_event_ok(VALID | types[i] | 3, 0, length),
					    length >= 1 && length <= 15, "type %#x, length %u",
					    types[i], length);
		KUNIT_EXPECT_FALSE(test, exit_event_ok(VALID | types[i] | 3, 0, ~0U));
	}
	KUNIT_EXPECT_FALSE(test, exit_event_ok(VALID | INTR_TYPE_SOFT_EXCEPTION | 32, 0, 1));
	KUNIT_EXPECT_FALSE(test, exit_event_ok(VALID | INTR_TYPE_PRIV_SW_EXCEPTION | 32, 0, 1));
}

/* They would block the host's until the guest's next iret. */
static void nmis_are_not_the_processs_to_inject(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, exit_event_ok(VALID | INTR_TYPE_NMI_INTR | 2, 0, 0));
	KUNIT_EXPECT_FALSE(test, exit_event_ok(VALID | INTR_TYPE_NMI_INTR | 2, 0, 2));
}

static void reserved_types_and_bits_are_refused(struct kunit *test)
{
	u32 bit;

	KUNIT_EXPECT_FALSE(test, exit_event_ok(VALID | 1 << 8 | 32, 0, 1));
	KUNIT_EXPECT_FALSE(test, exit_event_ok(VALID | 7 << 8 | 32, 0, 1)); /* "other event" */
	for (bit = 1u << 12; bit < VALID; bit <<= 1)
		KUNIT_EXPECT_FALSE(test,
				   exit_event_ok(VALID | INTR_TYPE_EXT_INTR | bit | 32, 0, 0));
}

static void state_has_what_a_wrmsr_would_take(struct kunit *test)
{
	static const u64 bad[] = {1ULL << 47, 0xffff7fffffffffffULL, 1ULL << 63};
	static const u64 good[] = {0, (1ULL << 47) - 1, 0xffff800000000000ULL, ~0ULL};
	static const size_t fields[] = {offsetof(struct pvhost_state, lstar),
					offsetof(struct pvhost_state, fs_base),
					offsetof(struct pvhost_state, gs_base),
					offsetof(struct pvhost_state, kernel_gs_base)};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		struct pvhost_state s = {};
		u64 *field = (void *)&s + fields[i];

		for (j = 0; j < ARRAY_SIZE(bad); j++) {
			*field = bad[j];
			KUNIT_EXPECT_EQ_MSG(test, state_check(&s), -EINVAL, "field %u, %llx", i,
					    *field);
		}
		for (j = 0; j < ARRAY_SIZE(good); j++) {
			*field = good[j];
			KUNIT_EXPECT_EQ_MSG(test, state_check(&s), 0, "field %u, %llx", i, *field);
		}
	}
}

static void state_has_its_reserved_bits_zero(struct kunit *test)
{
	struct pvhost_state s = {.star = 0x0018000800000000ULL, .sfmask = 0xffffffff};

	KUNIT_EXPECT_EQ(test, state_check(&s), 0);
	s.reserved = 1;
	KUNIT_EXPECT_EQ(test, state_check(&s), -EINVAL);
	s.reserved = 0;
	s.star |= 1; /* the 32-bit syscall's target */
	KUNIT_EXPECT_EQ(test, state_check(&s), -EINVAL);
	s.star = 0;
	s.sfmask = 1ULL << 32;
	KUNIT_EXPECT_EQ(test, state_check(&s), -EINVAL);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(host_events_never_reach_the_process),
	KUNIT_CASE(debug_and_alignment_traps_go_back_in),
	KUNIT_CASE(only_the_null_call_is_the_drivers),
	KUNIT_CASE(every_other_reason_is_the_processs),
	KUNIT_CASE(a_failed_entry_is_told),
	KUNIT_CASE(flags_above_the_reason_do_not_hide_it),
	KUNIT_CASE(an_interrupted_delivery_is_repeated),
	KUNIT_CASE(no_event_is_all_zero),
	KUNIT_CASE(exceptions_have_their_error_codes),
	KUNIT_CASE(error_codes_have_sixteen_bits),
	KUNIT_CASE(interrupts_have_any_vector_and_no_error_code),
	KUNIT_CASE(software_events_have_an_instructions_length),
	KUNIT_CASE(nmis_are_not_the_processs_to_inject),
	KUNIT_CASE(reserved_types_and_bits_are_refused),
	KUNIT_CASE(state_has_what_a_wrmsr_would_take),
	KUNIT_CASE(state_has_its_reserved_bits_zero),
	{},
};

static struct kunit_suite suite = {.name = "exit", .test_cases = cases};
kunit_test_suite(suite);
