// SPDX-License-Identifier: GPL-2.0-only
/* What an exit, an event or a state means; tables and conditions only. */
#include <asm/vmx.h>

#include "driver.h"

#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_AC  17
#define VECTOR_MC  18

enum exit_action exit_action(u32 reason, u32 intr_info, u64 rax)
{
	if (reason & PVHOST_VALID) /* a failed entry */
		return EXIT_USER;
	switch (reason & 0xffff) {
	case EXIT_REASON_EXTERNAL_INTERRUPT: return EXIT_INTERRUPT;
	case EXIT_REASON_EPT_VIOLATION: return EXIT_EPT;
	case EXIT_REASON_DR_ACCESS: return EXIT_DEBUG;
	case EXIT_REASON_VMCALL: return rax == PVHOST_NOP ? EXIT_NOP : EXIT_USER;
	case EXIT_REASON_EXCEPTION_NMI: break;
	default: return EXIT_USER;
	}
	switch (intr_info & INTR_INFO_VECTOR_MASK) {
	case VECTOR_NMI: return EXIT_NMI;
	case VECTOR_MC: return EXIT_MCE;
	case VECTOR_DB:
	case VECTOR_AC: return EXIT_REFLECT;
	default: return EXIT_USER;
	}
}

/* Bit 12 says something else in an exit's vectoring information, and must be 0 on entry. */
u32 exit_reinject(u32 vectoring)
{
	return vectoring & PVHOST_VALID ? vectoring & ~(1u << 12) : 0;
}

/*
 * As VM entry checks it (SDM vol. 3, 27.2.1.3), so that nothing but a guest's state can fail. No
 * NMIs: they would block the host's until the guest's next iret.
 */
bool exit_event_ok(u32 event, u32 error_code, u32 length)
{
	const u32 vector = event & INTR_INFO_VECTOR_MASK, type = event & INTR_INFO_INTR_TYPE_MASK;
	const bool error = event & INTR_INFO_DELIVER_CODE_MASK;

	if (!(event & PVHOST_VALID))
		return !event;
	if (event & 0x7ffff000 || error_code > 0xffff)
		return false;
	if (type >= INTR_TYPE_SOFT_INTR && (!length || length > 15))
		return false;
	switch (type) {
	case INTR_TYPE_EXT_INTR:
	case INTR_TYPE_SOFT_INTR: return !error;
	case INTR_TYPE_SOFT_EXCEPTION:
	case INTR_TYPE_PRIV_SW_EXCEPTION: return vector < 32 && !error;
	/* The exceptions with an error code: 8, 10-14, 17; 21 is too new to count on. */
	case INTR_TYPE_HARD_EXCEPTION: return vector < 32 && error == ((0x27d00 >> vector) & 1);
	default: return false;
	}
}

static bool canonical(u64 va)
{
	return (s64)(va << 16) >> 16 == (s64)va;
}

/* What a WRMSR on the way in would fault on; the rest VM entry checks itself. */
int state_check(const struct pvhost_state *s)
{
	return !s->reserved && canonical(s->lstar) && canonical(s->kernel_gs_base) &&
			       canonical(s->fs_base) && canonical(s->gs_base) &&
			       !(s->star & 0xffffffff) && !(s->sfmask >> 32)
		       ? 0
		       : -EINVAL;
}
