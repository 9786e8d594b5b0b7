/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
#include "common.h"

TEST("smp", "a second vCPU: brought up and down, IPIs both ways, its own segments, no stale TLB");

#define COOKIE 0x5eccd5eccdul
#define WORD   64 /* ports in one word of the pending bits */

#define ROUNDS(n) (is_slow() ? (n) / 20 : (n))

static struct vcpu_guest_context context;
static char stack1[4 * PAGE_SIZE] __attribute__((aligned(16)));
static char info_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static struct vcpu_info *const info1 = (struct vcpu_info *)(info_page + 192);

static unsigned int to_0, to_1; /* ports of the IPIs */
static unsigned int ticking;	/* port of vCPU 1's timer */
static unsigned long ticks;
static unsigned long got_0, got_1;   /* upcalls of each */
static bool answer, stop;	     /* vCPU 1: answer each IPI; leave the job */
static void (*job)(void);	     /* what vCPU 1 does; it takes it away when done */
static unsigned long progress, seq;  /* vCPU 1 counts; vCPU 0 changes a mapping while odd */
static unsigned long wrong, checked; /* vCPU 1's findings */
static unsigned long seen_cookie, seen_sp;

static unsigned long va; /* an address without a page of its own */
static mfn_t frame[2];	 /* pages that hold their index */

static uint64_t gs_area[2], fs_area[2];

/* ---- vCPU 1 ---- */

struct regs1 {
	uint64_t rbp, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	uint64_t error, rip, cs, rflags, rsp, ss;
};

static struct {
	unsigned long count, error, cr2;
} fault;

static unsigned long nmis;

extern char upcall1[], nmi1[], fault1[], fault1_resume[];
void upcall1_c(struct regs1 *r);
void nmi1_c(struct regs1 *r);
void fault1_c(struct regs1 *r);
/* The value at va, or ~0 after a page fault. */
unsigned long read1(unsigned long at);
/* A store there; ~0 if it was a page fault. */
unsigned long write1(unsigned long at, unsigned long value);

__asm__(".macro entry1 name, has_error\n"
	"\\name:	popq %rcx\n"
	"	popq %r11\n"
	"	.if !\\has_error\n"
	"	pushq $0\n"
	"	.endif\n"
	"	pushq %rdi; pushq %rsi; pushq %rdx; pushq %rcx; pushq %rax\n"
	"	pushq %r8; pushq %r9; pushq %r10; pushq %r11; pushq %rbp\n"
	"	cld\n"
	"	movq %rsp, %rdi\n"
	"	movq %rsp, %rbp\n"
	"	andq $-16, %rsp\n"
	"	call \\name\\()_c\n"
	"	movq %rbp, %rsp\n"
	"	popq %rbp; popq %r11; popq %r10; popq %r9; popq %r8\n"
	"	popq %rax; popq %rcx; popq %rdx; popq %rsi; popq %rdi\n"
	"	movq $0, (%rsp)\n"
	"	jmp hypercall_page + 23 * 32\n"
	".endm\n"
	".text\n"
	"entry1 upcall1, 0\n"
	"entry1 nmi1, 0\n"
	"entry1 fault1, 1\n"
	"write1: movq %rsi, (%rdi)\n"
	"	xorl %eax, %eax\n"
	"	ret\n"
	"read1:	movq (%rdi), %rax\n"
	"	ret\n"
	"fault1_resume:\n"
	"	movq $-1, %rax\n"
	"	ret\n");

void upcall1_c(struct regs1 *r)
{
	do {
		WRITE_ONCE(info1->evtchn_upcall_pending, 0);
		__atomic_exchange_n(&info1->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
		if (event_is_pending(to_1)) {
			event_clear(to_1);
			__atomic_fetch_add(&got_1, 1, __ATOMIC_SEQ_CST);
			if (READ_ONCE(answer))
				event_send(to_0);
		}
		if (ticking && event_is_pending(ticking)) {
			event_clear(ticking);
			WRITE_ONCE(ticks, ticks + 1);
		}
	} while (READ_ONCE(info1->evtchn_upcall_pending));
}

void fault1_c(struct regs1 *r)
{
	fault.count++;
	fault.error = r->error;
	fault.cr2 = info1->arch.cr2;
	r->rip = (unsigned long)fault1_resume;
}

void nmi1_c(struct regs1 *r)
{
	WRITE_ONCE(nmis, nmis + 1);
}

static void upcalls1(bool on)
{
	WRITE_ONCE(info1->evtchn_upcall_mask, !on);
	barrier();
	if (on && READ_ONCE(info1->evtchn_upcall_pending))
		HYPERVISOR_xen_version(XENVER_version, NULL);
}

static void main1(unsigned long cookie)
{
	seen_cookie = cookie;
	seen_sp = (unsigned long)__builtin_frame_address(0);
	for (;;) {
		void (*fn)(void) = __atomic_load_n(&job, __ATOMIC_ACQUIRE);

		if (fn) {
			fn();
			__atomic_store_n(&job, NULL, __ATOMIC_RELEASE);
		} else {
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		}
	}
}

static void blocking(void)
{
	upcalls1(false);
	while (!READ_ONCE(stop)) {
		HYPERVISOR_sched_op(SCHEDOP_block, NULL);
		upcalls1(false);
	}
}

static void spinning(void)
{
	upcalls1(true);
	while (!READ_ONCE(stop))
		WRITE_ONCE(progress, progress + 1);
	upcalls1(false);
}

static void calling(void)
{
	upcalls1(true);
	while (!READ_ONCE(stop)) {
		wrong += HYPERVISOR_xen_version(XENVER_version, NULL) <= 0;
		WRITE_ONCE(progress, progress + 1);
	}
	upcalls1(false);
}

static void polling(void)
{
	struct sched_poll poll = {.nr_ports = 1};

	poll.ports.p = &to_1;
	while (!READ_ONCE(stop)) {
		HYPERVISOR_sched_op(SCHEDOP_poll, &poll);
		if (!event_is_pending(to_1))
			continue;
		event_clear(to_1);
		event_send(to_0);
	}
}

/* Between two looks at the same even number the page must be the one that the number says. */
static void reading(void)
{
	while (!READ_ONCE(stop)) {
		unsigned long before = __atomic_load_n(&seq, __ATOMIC_SEQ_CST), value = read1(va);

		if (__atomic_load_n(&seq, __ATOMIC_SEQ_CST) != before || before & 1)
			continue;
		wrong += value != (before >> 1 & 1);
		WRITE_ONCE(checked, checked + 1);
	}
}

/* Whatever is there, and as fast as it can: what the CPU has cached of the page stays in use. */
static void writing(void)
{
	while (!READ_ONCE(stop)) {
		write1(va + PAGE_SIZE - 8, 16); /* to a page table an entry that is not present */
		WRITE_ONCE(progress, progress + 1);
	}
}

static uint8_t many[256 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

/* By an instruction that takes long: what is flushed meanwhile it must not go on to use. */
static void filling(void)
{
	while (!READ_ONCE(stop)) {
		void *to = many;
		unsigned long n = sizeof(many);

		__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(1) : "memory");
		WRITE_ONCE(progress, progress + 1);
	}
}

static void reading_once(void)
{
	checked = read1(va);
}

static unsigned long gs_read(void)
{
	unsigned long value;

	__asm__ volatile("movq %%gs:0, %0" : "=r"(value));
	return value;
}

static unsigned long fs_read(void)
{
	unsigned long value;

	__asm__ volatile("movq %%fs:0, %0" : "=r"(value));
	return value;
}

static void nmi_register(void)
{
	struct callback_register reg = {.type = CALLBACKTYPE_nmi, .address = (unsigned long)nmi1};

	wrong += HYPERVISOR_callback_op(CALLBACKOP_register, &reg) != 0;
}

static void gs_first(void)
{
	wrong += gs_read() != 101;
}

static void fs_own(void)
{
	wrong += HYPERVISOR_set_segment_base(SEGBASE_FS, (unsigned long)&fs_area[1]) != 0;
	wrong += fs_read() != 201;
}

static void segments(void)
{
	upcalls1(true);
	while (!READ_ONCE(stop)) {
		wrong += gs_read() != 101;
		wrong += fs_read() != 201;
		if (++progress % 8 == 0)
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
	upcalls1(false);
}

static void down(void)
{
	wrong += HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL) != 0;
	progress++;
}

/* ---- vCPU 0 ---- */

static void handler0(unsigned int port, void *data)
{
	got_0++;
}

static uint64_t deadline;

static void limit_start(void)
{
	deadline = time_ns() + 60 * SEC;
}

static void limit(const char *what)
{
	if (time_ns() > deadline)
		panic("%s: vCPU 1 does not answer (got %lu, it %lu)", what, got_0, got_1);
}

static void start(void (*fn)(void))
{
	wrong = checked = 0;
	WRITE_ONCE(stop, false);
	__atomic_store_n(&job, fn, __ATOMIC_RELEASE);
}

static void finish(const char *what)
{
	WRITE_ONCE(stop, true);
	limit_start();
	while (__atomic_load_n(&job, __ATOMIC_ACQUIRE)) {
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		limit(what);
	}
	check_eq(what, (long)wrong, 0);
}

/* Waits until vCPU 1 has gone on. */
static void moves(const char *what, const unsigned long *counter)
{
	unsigned long from = READ_ONCE(*counter);

	limit_start();
	while (READ_ONCE(*counter) == from) {
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		limit(what);
	}
}

static long vcpu1_op(int cmd, void *arg)
{
	return HYPERVISOR_vcpu_op(cmd, 1, arg);
}

static void ping_blocked(const char *what)
{
	limit_start();
	for (unsigned long i = ROUNDS(400); i; i--) {
		unsigned long next = got_0 + 1;

		upcalls_disable();
		event_send(to_1);
		while (got_0 != next) {
			HYPERVISOR_sched_op(SCHEDOP_block, NULL);
			upcalls_disable();
		}
		limit(what);
	}
}

static void ping_spun(const char *what)
{
	limit_start();
	upcalls_enable();
	for (unsigned long i = ROUNDS(100); i; i--) {
		unsigned long next = got_0 + 1;

		event_send(to_1);
		while (READ_ONCE(got_0) != next)
			limit(what);
	}
	upcalls_disable();
}

static void ipis(void)
{
	printf("smp: IPIs\n");
	answer = true;
	start(blocking);
	ping_blocked("IPI to a blocked vCPU");
	stop = true;
	event_send(to_1);
	finish("blocked");
	start(spinning);
	ping_spun("IPI to a running vCPU");
	finish("running");
	start(calling);
	ping_spun("IPI to a vCPU in hypercalls");
	finish("in hypercalls");
	/* With upcalls masked. */
	start(polling);
	ping_blocked("IPI to a polling vCPU");
	answer = false;
	stop = true;
	event_send(to_1);
	finish("polling");
	event_clear(to_1);
	event_clear(to_0);
	check_eq("no upcall went to the wrong vCPU", (long)event_counts[to_1], 0);
}

static void ping_nmi(void (*fn)(void), const char *what)
{
	start(fn);
	for (int i = ROUNDS(100); i; i--) {
		unsigned long before = nmis;

		check_eq("send_nmi", vcpu1_op(VCPUOP_send_nmi, NULL), 0);
		limit_start();
		while (READ_ONCE(nmis) == before)
			limit(what);
	}
	stop = true;
	event_send(to_1);
	finish(what);
}

static void nmi(void)
{
	printf("smp: NMIs\n");
	start(nmi_register);
	finish("callback of vCPU 1");
	ping_nmi(spinning, "NMI to a running vCPU");
	ping_nmi(calling, "NMI to a vCPU in hypercalls");
	ping_nmi(blocking, "NMI to a blocked vCPU");
}

static void map(unsigned int i)
{
	__atomic_store_n(&seq, seq + 1, __ATOMIC_SEQ_CST);
	if (HYPERVISOR_update_va_mapping(va, mfn_pte(frame[i], PTE_KERN),
					 UVMF_TLB_FLUSH | UVMF_ALL))
		panic("update_va_mapping");
	__atomic_store_n(&seq, seq + 1, __ATOMIC_SEQ_CST);
}

static void mappings(void)
{
	unsigned long faults;
	uint64_t pde_at, pde;

	printf("smp: mappings\n");
	seq = 0; /* frame 0 is there */
	start(reading);
	for (unsigned int i = 1; i <= (unsigned int)ROUNDS(1000) * 2; i++) {
		map(i & 1);
		if (i % 64 == 0)
			moves("a changed page", &checked);
	}
	finish("never the page of before");

	faults = fault.count;
	this_vcpu->arch.cr2 = 0;
	check_eq("unmap", HYPERVISOR_update_va_mapping(va, 0, UVMF_TLB_FLUSH | UVMF_ALL), 0);
	start(reading_once);
	finish("read what is gone");
	check_eq("a page fault there", (long)(fault.count - faults), 1);
	check_eq("nothing read", (long)checked, -1);
	check_eq("not present", (long)fault.error & 1, 0);
	check_eq("cr2 of its own", (long)fault.cr2, (long)va);
	check_eq("not of vCPU 0", (long)this_vcpu->arch.cr2, 0);
	map(0);

	/* Whole tables go, under a vCPU that makes hypercalls from its own stack. */
	check("find the L2 entry", pt_find(va, 2, &pde_at, &pde));
	start(calling);
	for (int i = ROUNDS(400); i; i--) {
		if (pt_set(pde_at, 0) || pt_set(pde_at, pde))
			panic("L2 entry");
		if (i % 64 == 0)
			moves("tables", &progress);
	}
	finish("hypercalls while tables go");
}

/*
 * A page that vCPU 1 writes to becomes a page table. The guest flushes nothing when it takes the
 * page's mapping away: that the table cannot be written is the hypervisor's to see to.
 */
static void types(void)
{
	uint64_t *page = page_alloc();
	const mfn_t mfn = va_to_mfn(page);
	const uint64_t last = ((uint64_t)mfn << PAGE_SHIFT) + 511 * 8;

	printf("smp: types\n");
	for (int i = ROUNDS(60); i; i--) {
		if (HYPERVISOR_update_va_mapping(va, mfn_pte(mfn, PTE_KERN),
						 UVMF_TLB_FLUSH | UVMF_ALL) ||
		    page_set_ro(page, true))
			panic("a page to write to");
		start(writing);
		moves("writing", &progress);
		if (HYPERVISOR_update_va_mapping(va, 0, UVMF_NONE) ||
		    mmuext(MMUEXT_PIN_L1_TABLE, mfn) || pt_set(last, 0))
			panic("a page table");
		moves("writing to it", &progress);
		moves("writing to it", &progress);
		if (READ_ONCE(page[511]))
			check("a table is written to by a stale translation", false);
		finish("writing");
		if (mmuext(MMUEXT_UNPIN_TABLE, mfn) || page_set_ro(page, false))
			panic("no page any more");
	}
	page_free(page);
	if (HYPERVISOR_update_va_mapping(va, mfn_pte(frame[0], PTE_KERN),
					 UVMF_TLB_FLUSH | UVMF_ALL))
		panic("the page of before");
}

/* Once its mapping is flushed, a page is not written to by a string instruction that had begun. */
static void strings(void)
{
	uint8_t *last = many + sizeof(many) - PAGE_SIZE, *spare = page_alloc();
	volatile uint8_t *page = (void *)va;
	const mfn_t mfn = va_to_mfn(last), other = va_to_mfn(spare);
	unsigned long stale = 0;

	printf("smp: strings\n");
	if (HYPERVISOR_update_va_mapping(va, mfn_pte(mfn, PTE_KERN), UVMF_TLB_FLUSH | UVMF_ALL))
		panic("the page twice");
	start(filling);
	for (int i = ROUNDS(400); i; i--) {
		if (HYPERVISOR_update_va_mapping((unsigned long)last, mfn_pte(other, PTE_KERN),
						 UVMF_INVLPG | UVMF_ALL))
			panic("another page there");
		page[0] = page[PAGE_SIZE - 1] = 0;
		moves("filling", &progress);
		stale += page[0] || page[PAGE_SIZE - 1];
		if (HYPERVISOR_update_va_mapping((unsigned long)last, mfn_pte(mfn, PTE_KERN),
						 UVMF_INVLPG | UVMF_ALL))
			panic("the page of before");
		moves("filling", &progress);
	}
	finish("filling");
	check_eq("written to by a stale translation", (long)stale, 0);
	page_free(spare);
	if (HYPERVISOR_update_va_mapping(va, mfn_pte(frame[0], PTE_KERN),
					 UVMF_TLB_FLUSH | UVMF_ALL))
		panic("the page of before");
}

/* Going down by itself, and by another's word in the middle of its work. */
static void down_up(void)
{
	struct vcpu_runstate_info run;
	unsigned long at, ipis;

	printf("smp: down and up\n");
	for (int i = ROUNDS(100); i; i--) {
		at = progress;
		ipis = got_1;
		start(down);
		limit_start();
		while (vcpu1_op(VCPUOP_is_up, NULL)) {
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
			limit("down");
		}
		do {
			vcpu1_op(VCPUOP_get_runstate_info, &run);
			limit("offline");
		} while (run.state != RUNSTATE_offline);
		event_send(to_1);
		if (progress != at || got_1 != ipis)
			panic("it runs while it is down");
		check_eq("up again", vcpu1_op(VCPUOP_up, NULL), 0);
		finish("down came back");
		check_eq("it went on behind the call", (long)(progress - at), 1);
	}
	check_eq("is_up", vcpu1_op(VCPUOP_is_up, NULL), 1);
	start(spinning);
	for (int i = ROUNDS(100); i; i--) {
		moves("before down", &progress);
		check_eq("down by another", vcpu1_op(VCPUOP_down, NULL), 0);
		check_eq("is not up", vcpu1_op(VCPUOP_is_up, NULL), 0);
		limit_start();
		do {
			vcpu1_op(VCPUOP_get_runstate_info, &run);
			limit("offline by another");
		} while (run.state != RUNSTATE_offline);
		at = READ_ONCE(progress);
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		check_eq("it stands still", (long)(READ_ONCE(progress) - at), 0);
		check_eq("initialise: it is", vcpu1_op(VCPUOP_initialise, &context), -XEN_EEXIST);
		check_eq("up", vcpu1_op(VCPUOP_up, NULL), 0);
	}
	finish("down by another");
}

static void bases(void)
{
	unsigned long wrong0 = 0;

	printf("smp: segment bases\n");
	check_eq("GS of vCPU 0",
		 HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, (unsigned long)&gs_area[0]), 0);
	start(gs_first);
	finish("GS as the context says");
	/* vCPU 0 is in and out of hypercalls when vCPU 1 gets an FS base. */
	start(fs_own);
	while (__atomic_load_n(&job, __ATOMIC_ACQUIRE))
		wrong0 += HYPERVISOR_xen_version(XENVER_version, NULL) <= 0;
	finish("FS of vCPU 1");
	check_eq("FS of vCPU 0",
		 HYPERVISOR_set_segment_base(SEGBASE_FS, (unsigned long)&fs_area[0]), 0);
	start(segments);
	for (int i = ROUNDS(2000); i; i--) {
		wrong0 += gs_read() != 100;
		wrong0 += fs_read() != 200;
		if (i % 4 == 0)
			event_send(to_1);
	}
	moves("segments", &progress);
	finish("vCPU 1 keeps its bases");
	check_eq("so does vCPU 0", (long)wrong0, 0);
}

/* Set from vCPU 0, and so far ahead that nothing else makes vCPU 1 look at its clock. */
static void timer(void)
{
	struct evtchn_bind_virq virq = {.virq = VIRQ_TIMER, .vcpu = 1};
	struct vcpu_set_periodic_timer period = {.period_ns = SEC + SEC / 20};
	struct evtchn_unmask unmask;

	printf("smp: timer\n");
	check_eq("bind_virq", HYPERVISOR_event_channel_op(EVTCHNOP_bind_virq, &virq), 0);
	ticking = unmask.port = virq.port;
	check_eq("unmask", HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &unmask), 0);
	start(spinning);
	moves("before the timer", &progress);
	check_eq("a timer for vCPU 1", vcpu1_op(VCPUOP_set_periodic_timer, &period), 0);
	moves("the timer", &ticks);
	check_eq("stop it", vcpu1_op(VCPUOP_stop_periodic_timer, NULL), 0);
	finish("with a timer");
}

/* A word of ports to vCPU 1 alone: the library looks at all of a word on vCPU 0. */
static void bind(void)
{
	struct evtchn_bind_ipi ipi = {.vcpu = 2};
	long port = event_bind_ipi();

	check("bind_ipi", port > 0);
	to_0 = (unsigned int)port;
	event_bind(to_0, handler0, NULL);
	check_eq("bind_ipi: no such vCPU", HYPERVISOR_event_channel_op(EVTCHNOP_bind_ipi, &ipi),
		 -XEN_ENOENT);
	ipi.vcpu = 1;
	while (to_1 < WORD) {
		if (HYPERVISOR_event_channel_op(EVTCHNOP_bind_ipi, &ipi))
			panic("bind_ipi");
		to_1 = ipi.port;
	}
}

static void bring_up(void)
{
	struct vcpu_register_vcpu_info where = {.mfn = va_to_mfn(info_page), .offset = 192};
	struct evtchn_unmask unmask = {.port = to_1};
	struct vcpu_guest_context *c = &context;

	check_eq("is_up: not yet", vcpu1_op(VCPUOP_is_up, NULL), 0);
	check_eq("up: not initialised", vcpu1_op(VCPUOP_up, NULL), -XEN_EINVAL);
	check_eq("masked at first", pv_shared_info.vcpu_info[1].evtchn_upcall_mask, 1);
	check_eq("register_vcpu_info", vcpu1_op(VCPUOP_register_vcpu_info, &where), 0);
	check_eq("once", vcpu1_op(VCPUOP_register_vcpu_info, &where), -XEN_EINVAL);

	c->flags = VGCF_in_kernel;
	c->user_regs.rip = (unsigned long)main1;
	c->user_regs.rsp = (unsigned long)stack1 + sizeof(stack1) - 8;
	c->user_regs.rdi = COOKIE;
	c->user_regs.rflags = 0x200;
	c->user_regs.cs = FLAT_KERNEL_CS;
	c->user_regs.ss = FLAT_KERNEL_SS;
	c->kernel_ss = FLAT_KERNEL_SS;
	c->kernel_sp = (unsigned long)stack1 + sizeof(stack1);
	c->ctrlreg[3] = xen_pfn_to_cr3(va_to_mfn((void *)start_info->pt_base));
	c->gs_base_kernel = (unsigned long)&gs_area[1];
	c->event_callback_eip = (unsigned long)upcall1;
	for (unsigned int i = 0; i < ARRAY_SIZE(c->trap_ctxt); i++)
		c->trap_ctxt[i].vector = (uint8_t)i;
	c->trap_ctxt[14].cs = FLAT_KERNEL_CS;
	c->trap_ctxt[14].address = (unsigned long)fault1;

	check_eq("initialise: nothing there", vcpu1_op(VCPUOP_initialise, (void *)NOWHERE),
		 -XEN_EFAULT);
	c->user_regs.rip = NON_CANON;
	check_eq("initialise: bad rip", vcpu1_op(VCPUOP_initialise, c), -XEN_EINVAL);
	c->user_regs.rip = (unsigned long)main1;
	c->ctrlreg[3] = xen_pfn_to_cr3(va_to_mfn(stack1));
	check_eq("initialise: bad root", vcpu1_op(VCPUOP_initialise, c), -XEN_EINVAL);
	c->ctrlreg[3] = xen_pfn_to_cr3(va_to_mfn((void *)start_info->pt_base));
	check_eq("initialise", vcpu1_op(VCPUOP_initialise, c), 0);
	check_eq("twice", vcpu1_op(VCPUOP_initialise, c), -XEN_EEXIST);
	check_eq("still down", vcpu1_op(VCPUOP_is_up, NULL), 0);
	check_eq("unmask", HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &unmask), 0);
	check_eq("up", vcpu1_op(VCPUOP_up, NULL), 0);
	check_eq("is_up", vcpu1_op(VCPUOP_is_up, NULL), 1);
	check_eq("initialise: it is up", vcpu1_op(VCPUOP_initialise, c), -XEN_EEXIST);
	check_eq("register_vcpu_info: it is up", vcpu1_op(VCPUOP_register_vcpu_info, &where),
		 -XEN_EINVAL);
	start(gs_first);
	finish("first words");
	check_eq("its argument", (long)seen_cookie, COOKIE);
	check("its stack",
	      seen_sp > (unsigned long)stack1 && seen_sp < (unsigned long)stack1 + sizeof(stack1));
}

void test_main(void)
{
	if (vcpu1_op(VCPUOP_is_up, NULL) == -XEN_ENOENT)
		skip("the domain has one vCPU");
	va = va_alloc(1);
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t *page = page_alloc();

		*page = i;
		frame[i] = va_to_mfn(page);
		gs_area[i] = 100 + i;
		fs_area[i] = 200 + i;
	}
	check_eq("map the page", map_mfn(va, frame[0], PTE_KERN), 0);
	bind();
	bring_up();
	ipis();
	mappings();
	types();
	strings();
	down_up();
	timer();
	nmi();
	bases();
	/* The same with segments of their own, which have another way into the hypervisor. */
	ipis();
	mappings();
	nmi();
	down_up();
	/* The domain ends under a running vCPU. */
	start(spinning);
	moves("spinning", &progress);
}
