/* SPDX-License-Identifier: MIT */
/* The vtx provider's side of provider.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "host-driver/libpavane/pavane.h"
#include "host-driver/libpavane/tables.h"
#include "host-driver/providers/syscall_page.h"
#include "host-driver/providers/vtx/vtx.h"

#define ASSERT_S(offset, member) \
	_Static_assert(offsetof(struct vtx_state, member) == (offset), "state: " #member)
ASSERT_S(S_IN_GUEST, in_guest);
ASSERT_S(S_DIRTY, dirty);
ASSERT_S(S_FLUSH, flush);
ASSERT_S(S_CR3, cr3);
ASSERT_S(S_KEEP, keep);
ASSERT_S(S_MONITOR_CR3, monitor_cr3);
ASSERT_S(S_MONITOR_FS, monitor_fs);
ASSERT_S(S_MONITOR_RSP, monitor_rsp);
ASSERT_S(S_VCPU, vcpu);
ASSERT_S(S_SYSCALL, syscall);
ASSERT_S(S_TRAP, trap);
ASSERT_S(S_FAULT, fault);
ASSERT_S(S_HOST_CALL, host_call);
ASSERT_S(S_PV_TRAP, pv_trap);
ASSERT_S(S_CR2, cr2);
ASSERT_S(S_NO_IDT, no_idt);
ASSERT_S(S_IST1, tss[0x24]);
ASSERT_S(S_CR3_KERNEL, cr3[1]);
ASSERT_S(S_INFO, info);
#define ASSERT_V(offset, member) \
	_Static_assert(offsetof(struct vcpu, member) == (offset), "vcpu: " #member)
ASSERT_V(V_R15, regs.r15);
ASSERT_V(V_ERROR, regs.error_code);
ASSERT_V(V_RIP, regs.rip);
ASSERT_V(V_CS, regs.cs);
ASSERT_V(V_RFLAGS, regs.rflags);
ASSERT_V(V_RSP, regs.rsp);
ASSERT_V(V_SS, regs.ss);
ASSERT_V(V_DS, regs.ds);
ASSERT_V(V_GS, regs.gs);
ASSERT_V(V_FS_BASE, fs_base);
ASSERT_V(V_KERNEL_MODE, kernel_mode);
ASSERT_V(V_RAX, regs.rax);
ASSERT_V(V_RCX, regs.rcx);
ASSERT_V(V_RDX, regs.rdx);
ASSERT_V(V_RSI, regs.rsi);
ASSERT_V(V_RDI, regs.rdi);
ASSERT_V(V_NMI_MASKED, nmi_masked);
ASSERT_V(V_CALLBACK_FLAGS, callback_flags);
ASSERT_V(V_KERNEL_SP, kernel_sp);
ASSERT_V(V_SYSCALL_CALLBACK, syscall_callback);
ASSERT_V(V_GS_KERNEL, gs_base_kernel);
ASSERT_V(V_GS_USER, gs_base_user);
ASSERT_V(V_USER_CR3, user_cr3_mfn);
ASSERT_V(V_CR2, cr2);
ASSERT_V(V_TRAP_PF, traps[VECTOR_PF]);
/* What fast.S knows of Xen's numbers. */
_Static_assert(HYPERCALL_IRET == __HYPERVISOR_iret, "iret");
_Static_assert(VGCF_in_syscall == 0x100 && VGCF_syscall_disables_events == 0x10, "VGCF");
_Static_assert(offsetof(struct iret_context, flags) == 24, "iret_context");
_Static_assert(offsetof(struct vcpu_info, evtchn_upcall_pending) == 0, "vcpu_info");
_Static_assert(offsetof(struct vcpu_info, evtchn_upcall_mask) == 1, "vcpu_info");
_Static_assert(offsetof(struct vcpu_info, arch.cr2) == 16, "vcpu_info");
_Static_assert(offsetof(struct guest_trap, flags) == 10, "guest_trap");
_Static_assert((AREA_STATE + S_STACK_TOP) >> 8 == (AREA_VCPU + VCPU_SHIFT + V_REGS_END) >> 8,
	       "fast.S exchanges the last byte of IST1");
_Static_assert((VCPU_SHIFT + V_REGS_END) % 16 == 0, "an exception's frame ends aligned");
_Static_assert(VCPU_SHIFT + sizeof(struct vcpu) <= VCPU_PAGES * 4096, "vCPU pages");
_Static_assert(sizeof(struct vtx_state) <= S_STACK_TOP - 512, "room for a frame");

#define MAX_RAM (1UL << 38)

/* Ring 3 is the guest. */
static void user_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	guest_cpuid(current, leaf, sub, r);
}

/* Here, before anything depends on it: who asked for the best that works gets another provider. */
static int domain_init(struct domain *d)
{
	const int rc = pv_open();

	if (rc) {
		d->provider_why = rc == -ENOENT	 ? "no /dev/pvhost: modprobe pvhost"
				  : rc == -EBUSY ? "another hypervisor has VT-x"
						 : "/dev/pvhost cannot be opened";
		return rc;
	}
	vtx_process = getpid();
	pv_physical_reserve(MAX_RAM);
	vtx_monitor_faults();
	pv_user_cpuid(user_cpuid);
	return 0;
}

static int vcpu_init(struct vcpu *v)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
	int rc;

	ev._sigev_un._tid = v->tid;
	if (timer_create(CLOCK_MONOTONIC, &ev, &v->host_timer))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	rc = pv_enter();
	if (!rc)
		rc = pv_signal(SIGUSR1, VECTOR_KICK);
	if (!rc)
		rc = pv_signal(SIGUSR2, VECTOR_TIMER);
	pv_cli();
	if (!rc)
		rc = area_init(v);
	return rc;
}

/* The guest starts with the x87 and vector state of a reset. */
static void fpu_clean(void)
{
	static const uint8_t clean[2688] __attribute__((aligned(64)));
	const uint32_t mxcsr = 0x1f80;

	asm volatile("xrstor64 (%0)" : : "r"(clean), "a"(0xff), "d"(0) : "memory");
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static void vcpu_run(struct vcpu *v)
{
	struct vtx_state *s = state_of(v);

	fpu_clean();
	vtx_begin(v);
	vtx_start(s, area_of(v) - (uint64_t)switcher + (uint64_t)switcher_resume);
}

static void save_segments(struct vcpu *v)
{
	const uint64_t gs = __builtin_ia32_rdgsbase64();

	if (v->kernel_mode)
		v->gs_base_kernel = gs;
	else
		v->gs_base_user = gs;
}

/* FS's is loaded on every way to the guest. */
static void load_segments(struct vcpu *v)
{
	__builtin_ia32_wrgsbase64(v->kernel_mode ? v->gs_base_kernel : v->gs_base_user);
}

static void toggle(struct vcpu *v)
{
	save_segments(v);
	__builtin_ia32_wrgsbase64(v->kernel_mode ? v->gs_base_user : v->gs_base_kernel);
}

static void load_debug(struct vcpu *v)
{
	state_of(v)->dirty = 1;
}

const struct provider provider_vtx = {
	.name = "vtx",
	.domain_init = domain_init,
	.memory_ready = area_memory,
	.vcpu_init = vcpu_init,
	.vcpu_run = vcpu_run,
	.kick = vtx_kick,
	.root_changed = vtx_root_changed,
	.flush = vtx_flush,
	.load_segments = load_segments,
	.save_segments = save_segments,
	.toggle = toggle,
	.load_tables = area_tables,
	.exits = pv_exits,
	.load_debug = load_debug,
	.fill_hypercall_page = syscall_page,
};
