/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes hypercall(): hostile numbers, arguments and argument memory, over a domain of two vCPUs
 * and 64 frames. Sleeping and parking are cut out by the linker (--wrap); the broker answers at
 * random; the provider does nothing. State is restored before every input.
 *
 * The functions marked weak stand in for the memory side (copy.c, frame.c, mmu.c, ...) and for
 * traps.c wherever those are not linked in.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Their static state is restored too. */
#include "hypercalls/monitor/grant.c"
#include "hypercalls/monitor/grant_map.c"

#define NR_RAM	  64
#define NR_FRAMES (PVDOM_MFN_RAM + NR_RAM)
#define DATA_VA	  0x400000UL
#define DATA_MFN  (PVDOM_MFN_RAM + 8)
#define DATA_SIZE (8 * PAGE_SIZE)

struct domain *the_domain;
__thread struct vcpu *current;

static struct domain dom, dom0;
static struct vcpu vcpus[2], vcpus0[2];
static struct frame *frames0;
static uint8_t ram[NR_FRAMES * 4096] __attribute__((aligned(4096)));
static uint8_t ram0[NR_FRAMES * 4096];
static const uint8_t *input;
static size_t left;

static uint8_t byte(void)
{
	return left ? left--, *input++ : 0;
}

static void kick(struct vcpu *v)
{
}

static void invalidate(struct domain *d, uint64_t va)
{
}

static void root_changed(struct vcpu *v)
{
}

static void load_segments(struct vcpu *v)
{
}

static void fill_page(struct domain *d, uint8_t *page)
{
	memset(page, 0xf4, PAGE_SIZE);
}

static const struct provider provider = {
	.name = "fuzz",
	.kick = kick,
	.invalidate = invalidate,
	.root_changed = root_changed,
	.load_segments = load_segments,
	.fill_hypercall_page = fill_page,
};

long up_call(struct domain *d, uint32_t op, const uint64_t arg[4], const void *out,
	     uint32_t out_len, void *in, uint32_t in_size, int fds[2])
{
	uint8_t how = byte();

	if (pthread_mutex_trylock(&d->lock))
		__builtin_trap(); /* never with the lock held */
	pthread_mutex_unlock(&d->lock);
	if (how & 1)
		return -ESRCH;
	if (fds && how & 2)
		for (int i = 0; i < 2; i++)
			fds[i] = eventfd(0, EFD_NONBLOCK);
	return 0;
}

int io_watch(struct domain *d, int fd, uint32_t port)
{
	return byte() == 1 ? -ENOMEM : 0;
}

void io_unwatch(struct domain *d, int fd)
{
}

/* ---- instead of sleeping ---- */
void __wrap_vcpu_park(struct vcpu *v);
long __real_do_sched_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
			uint64_t a5);
long __wrap_do_sched_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
			uint64_t a5);
long __wrap_do_sched_op_compat(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
			       uint64_t a5);

void __wrap_vcpu_park(struct vcpu *v)
{
	v->d->shutdown = -1;
	v->d->pause = 0;
	v->online = true;
}

long __wrap_do_sched_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
			uint64_t a5)
{
	if ((int)cmd == SCHEDOP_block || (int)cmd == SCHEDOP_poll)
		return 0;
	return __real_do_sched_op(v, cmd, arg, a3, a4, a5);
}

long __wrap_do_sched_op_compat(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
			       uint64_t a5)
{
	return __wrap_do_sched_op(v, cmd, arg, a3, a4, a5);
}

/* ---- stand-ins ---- */
#define WEAK __attribute__((weak))

WEAK int copy_from_guest(struct vcpu *v, void *dst, uint64_t va, size_t n)
{
	if (va < DATA_VA || n > DATA_SIZE || va - DATA_VA > DATA_SIZE - n)
		return -EFAULT;
	memcpy(dst, ram + DATA_MFN * PAGE_SIZE + (va - DATA_VA), n);
	return 0;
}

WEAK int copy_to_guest(struct vcpu *v, uint64_t va, const void *src, size_t n)
{
	if (va < DATA_VA || n > DATA_SIZE || va - DATA_VA > DATA_SIZE - n)
		return -EFAULT;
	memcpy(ram + DATA_MFN * PAGE_SIZE + (va - DATA_VA), src, n);
	return 0;
}

WEAK void *frame_ptr(struct domain *d, uint64_t mfn)
{
	return mfn < d->nr_frames ? d->ram + mfn * PAGE_SIZE : NULL;
}

WEAK bool frame_is_ram(struct domain *d, uint64_t mfn)
{
	return mfn < d->nr_frames && d->frame[mfn].kind == FRAME_RAM;
}

WEAK int frame_init(struct domain *d)
{
	d->frame = calloc(d->nr_frames, sizeof(*d->frame));
	return 0;
}

WEAK int frame_get_type(struct domain *d, uint64_t mfn, enum frame_type type)
{
	if (!frame_is_ram(d, mfn) || (d->frame[mfn].type_count && d->frame[mfn].type != type))
		return -EINVAL;
	d->frame[mfn].type = type;
	d->frame[mfn].type_count++;
	return 0;
}

WEAK void frame_put_type(struct domain *d, uint64_t mfn, enum frame_type type)
{
	if (!frame_is_ram(d, mfn) || d->frame[mfn].type != type || !d->frame[mfn].type_count--)
		__builtin_trap();
}

WEAK int pte_update(struct vcpu *v, uint64_t table, unsigned index, uint64_t pte, bool keep)
{
	if (index >= 512 || !frame_is_ram(v->d, table))
		__builtin_trap();
	((uint64_t *)frame_ptr(v->d, table))[index] = pte;
	return 0;
}

WEAK int root_load(struct vcpu *v, uint64_t mfn)
{
	if (!frame_is_ram(v->d, mfn))
		return -EINVAL;
	v->cr3_mfn = mfn;
	return 0;
}

#define STUB(f)                                                                         \
	WEAK long f(struct vcpu *v, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, \
		    uint64_t a5)                                                        \
	{                                                                               \
		return -ENOSYS;                                                         \
	}
STUB(do_mmu_update)
STUB(do_mmuext_op)
STUB(do_update_va_mapping)
STUB(do_update_va_mapping_otherdomain)
STUB(do_memory_op)
STUB(do_set_gdt)
STUB(do_update_descriptor)
STUB(do_set_trap_table)
STUB(do_set_callbacks)
STUB(do_callback_op)
STUB(do_stack_switch)
STUB(do_set_segment_base)
STUB(do_fpu_taskswitch)
STUB(do_set_debugreg)
STUB(do_get_debugreg)
STUB(do_iret)

/* ---- the domain ---- */
static void setup(void)
{
	/* Root, L3, L2, L1 in the first four RAM frames; everything mapped at DATA_VA. */
	uint64_t *pt[4];

	dom = (struct domain){.id = 7,
			      .nr_vcpus = 2,
			      .provider = &provider,
			      .shutdown = -1,
			      .ram = ram,
			      .nr_frames = NR_FRAMES,
			      .max_pages = NR_RAM,
			      .grant_frames = 1,
			      .ram_fd = -1,
			      .ctl_fd = -1,
			      .up_fd = -1};
	pthread_mutex_init(&dom.lock, NULL);
	the_domain = &dom;
	current = &vcpus[0];
	dom.shared = frame_ptr(&dom, PVDOM_MFN_SHARED_INFO);
	if (frame_init(&dom))
		__builtin_trap();
	for (unsigned i = 0; i < NR_RAM; i++) {
		dom.frame[PVDOM_MFN_RAM + i].kind = FRAME_RAM;
		dom.m2p[PVDOM_MFN_RAM + i] = i;
	}
	dom.tot_pages = NR_RAM;
	for (unsigned i = 0; i < 4; i++)
		pt[i] = frame_ptr(&dom, PVDOM_MFN_RAM + i);
	pt[0][DATA_VA >> 39 & 511] = (PVDOM_MFN_RAM + 1) << 12 | PTE_P | PTE_RW | PTE_US;
	pt[1][DATA_VA >> 30 & 511] = (PVDOM_MFN_RAM + 2) << 12 | PTE_P | PTE_RW | PTE_US;
	pt[2][DATA_VA >> 21 & 511] = (PVDOM_MFN_RAM + 3) << 12 | PTE_P | PTE_RW | PTE_US;
	for (unsigned i = 0; i < DATA_SIZE / PAGE_SIZE; i++)
		pt[3][i] = (DATA_MFN + i) << 12 | PTE_P | PTE_RW | PTE_US;
	for (unsigned i = 0; i < 2; i++) {
		vcpus[i] = (struct vcpu){.d = &dom,
					 .id = i,
					 .online = true,
					 .initialised = true,
					 .kernel_mode = true,
					 .info_mfn = INVALID_MFN};
		vcpus[i].info = &dom.shared->vcpu_info[i];
		dom.vcpu[i] = &vcpus[i];
	}
	time_init(&dom, 0);
	evtchn_init(&dom);
	if (root_load(current, PVDOM_MFN_RAM))
		__builtin_trap();
	/* What the real root_load did by validation; harmless after it. */
	if (!dom.frame[PVDOM_MFN_RAM + 3].type_count) {
		dom.frame[PVDOM_MFN_RAM + 3].type = FT_L1;
		dom.frame[PVDOM_MFN_RAM + 3].type_count = 1;
	}
	frames0 = malloc(NR_FRAMES * sizeof(*frames0));
	memcpy(frames0, dom.frame, NR_FRAMES * sizeof(*frames0));
	memcpy(ram0, ram, sizeof(ram));
	memcpy(vcpus0, vcpus, sizeof(vcpus));
	dom0 = dom;
}

static void restore(void)
{
	for (uint32_t i = 1; i < MAX_PORTS; i++) {
		if (dom.port[i].rx >= 0)
			close(dom.port[i].rx);
		if (dom.port[i].tx >= 0)
			close(dom.port[i].tx);
	}
	dom = dom0;
	memcpy(dom.frame, frames0, NR_FRAMES * sizeof(*frames0));
	memcpy(ram, ram0, sizeof(ram));
	memcpy(vcpus, vcpus0, sizeof(vcpus));
	memset(readers, 0, sizeof(readers));
	memset(writers, 0, sizeof(writers));
	memset(mappings, 0, sizeof(mappings));
	handle_hint = 0;
}

/* An argument: small, into the data, a frame's address, a special value, or anything. */
static uint64_t arg(void)
{
	uint64_t v = 0;

	switch (byte() & 7) {
	case 0:
	case 1: return byte();
	case 2:
	case 3: return DATA_VA + (byte() << 3);
	case 4: return (uint64_t)(PVDOM_MFN_RAM + byte()) << 12 | byte();
	case 5: {
		static const uint64_t special[] = {~0UL,
						   1UL << 63,
						   HYPERVISOR_START,
						   DOMID_SELF,
						   DATA_VA + DATA_SIZE - 8,
						   0x7fffffff,
						   1UL << 32,
						   0xffff7fffffffffff};
		return special[byte() & 7];
	}
	case 6: return 0;
	default:
		for (int i = 0; i < 8; i++)
			v = v << 8 | byte();
		return v;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;

	if (!ready) {
		setup();
		ready = true;
	}
	restore();
	input = data;
	left = size;
	for (int n = 0; left && n < 64; n++) {
		uint8_t nr = byte(), len = byte() & 63;
		uint8_t *to = ram + DATA_MFN * PAGE_SIZE + (byte() << 3);
		uint64_t a[5];

		for (unsigned i = 0; i < len && left; i++)
			to[i] = byte();
		for (int i = 0; i < 5; i++)
			a[i] = i < 3 ? arg() : 0;
		hypercall(&vcpus[0], nr, a[0], a[1], a[2], a[3], a[4]);
		if (pthread_mutex_trylock(&dom.lock))
			__builtin_trap(); /* a handler kept the lock */
		pthread_mutex_unlock(&dom.lock);
	}
	return 0;
}
