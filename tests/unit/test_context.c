/* SPDX-License-Identifier: MIT */
/* A vCPU's context on real page tables: what it may be, what it holds, where its areas are. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hypercalls/monitor/mm.h"

#define RAM_FRAMES 64
#define FRAMES	   (PVDOM_MFN_RAM + RAM_FRAMES)
#define VA	   0x400000UL
#define AREA	   (VA + PAGE_SIZE)
#define LDT	   (VA + 2 * PAGE_SIZE)

struct domain *the_domain;
__thread struct vcpu *current;

static struct domain dom;
static struct vcpu vcpu;
static uint64_t data, l1, l2, l3, l4, user; /* frames; `user` is an L4 that maps nothing */
static uint64_t now;

static void root_changed(struct vcpu *v)
{
}

static struct provider provider = {.root_changed = root_changed};

uint64_t system_time(const struct domain *d)
{
	return now;
}

void time_publish(struct vcpu *v)
{
}

void timer_arm(struct vcpu *v)
{
}

void timer_check(struct vcpu *v)
{
}

void vcpu_wake(struct vcpu *v)
{
}

void domain_shutdown(struct domain *d, int reason, const char *why)
{
}

long do_set_debugreg(struct vcpu *v, uint64_t reg, uint64_t val, uint64_t a3, uint64_t a4,
		     uint64_t a5)
{
	return 0;
}

static uint64_t *table(uint64_t mfn)
{
	return frame_ptr(&dom, mfn);
}

static uint64_t pte(uint64_t mfn, uint64_t flags)
{
	return mfn << PAGE_SHIFT | flags | PTE_P;
}

/* Page 0 and the area's are writable, page 2 is an LDT. */
static int setup(void **state)
{
	now = 1000;
	dom = (struct domain){
		.id = 7, .provider = &provider, .nr_frames = FRAMES, .max_pages = RAM_FRAMES};
	provider.one_root = false;
	for (unsigned i = 0; i < 16; i++)
		dom.l4_slot[i] = 0xabc000 + i;
	vcpu = (struct vcpu){.d = &dom, .kernel_mode = true};
	dom.ram_fd = memfd_create("ram", 0);
	assert_int_equal(ftruncate(dom.ram_fd, FRAMES * PAGE_SIZE), 0);
	dom.ram = mmap(NULL, FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, dom.ram_fd, 0);
	assert_int_equal(frame_init(&dom), 0);
	data = frame_alloc(&dom, 2, 0);
	l1 = frame_alloc(&dom, 0, 16);
	l2 = frame_alloc(&dom, 0, 17);
	l3 = frame_alloc(&dom, 0, 18);
	l4 = frame_alloc(&dom, 0, 19);
	user = frame_alloc(&dom, 0, 20);
	table(l1)[0] = pte(data, PTE_RW);
	table(l1)[1] = pte(data + 1, PTE_RW);
	table(l1)[2] = pte(data + 2, 0);
	table(l2)[VA >> 21 & 511] = pte(l1, PTE_RW);
	table(l3)[0] = pte(l2, PTE_RW);
	table(l4)[0] = pte(l3, PTE_RW);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L4_TABLE, l4), 0);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L4_TABLE, user), 0);
	return 0;
}

static int teardown(void **state)
{
	munmap(dom.ram, FRAMES * PAGE_SIZE);
	munmap(dom.frame, FRAMES * sizeof(struct frame));
	close(dom.ram_fd);
	return 0;
}

static struct vcpu_guest_context *context(uint32_t flags)
{
	static struct vcpu_guest_context c;

	memset(&c, 0, sizeof(c));
	c.flags = flags;
	c.ctrlreg[3] = xen_pfn_to_cr3(l4);
	return &c;
}

static void areas_are_in_the_kernels_tables_in_user_mode_too(void **state)
{
	const struct vcpu_runstate_info *area =
		(void *)((uint8_t *)frame_ptr(&dom, data + 1) + 0x40);
	struct vcpu_guest_context *c = context(VGCF_in_kernel);

	c->ctrlreg[1] = xen_pfn_to_cr3(user);
	assert_int_equal(vcpu_set_context(&vcpu, c), 0);
	vcpu.runstate_va = AREA + 0x40;
	vcpu.kernel_mode = false;
	assert_int_equal(copy_to_guest(&vcpu, AREA, &now, sizeof(now)), -EFAULT);
	now = 5000;
	runstate_set(&vcpu, RUNSTATE_offline);
	assert_int_equal(area->state, RUNSTATE_offline);
	assert_int_equal(area->state_entry_time, 5000);
}

static void user_mode_needs_a_root(void **state)
{
	struct vcpu_guest_context *c = context(0);

	assert_int_equal(vcpu_set_context(&vcpu, c), -EINVAL);
	assert_false(vcpu.initialised);
	c->ctrlreg[1] = xen_pfn_to_cr3(user);
	assert_int_equal(vcpu_set_context(&vcpu, c), 0);
	assert_false(vcpu.kernel_mode);
	provider.one_root = true;
	assert_int_equal(vcpu_set_context(&vcpu, c), -EINVAL);
}

static void another_ldt_at_the_same_root_is_not_the_old_one(void **state)
{
	struct vcpu_guest_context *c = context(VGCF_in_kernel);

	c->ldt_base = LDT;
	c->ldt_ents = 512;
	assert_int_equal(vcpu_set_context(&vcpu, c), 0);
	assert_true(ldt_map(&vcpu, 0));
	assert_int_equal(vcpu.ldt_mfn[0], data + 2);
	c->ldt_base = VA;
	assert_int_equal(vcpu_set_context(&vcpu, c), 0);
	assert_int_equal(vcpu.ldt_mfn[0], 0);
	assert_int_equal(dom.frame[data + 2].type_count, 0);
	assert_false(ldt_map(&vcpu, 0)); /* a writable page */
}

/* In user mode the CPU reads a descriptor that lies in the kernel's tables alone. */
static void the_ldt_is_in_the_kernels_tables(void **state)
{
	struct vcpu_guest_context *c = context(0);

	c->ldt_base = LDT;
	c->ldt_ents = 512;
	c->ctrlreg[1] = xen_pfn_to_cr3(user);
	assert_int_equal(vcpu_set_context(&vcpu, c), 0);
	assert_true(ldt_map(&vcpu, 0));
}

static void the_slots_of_a_root_that_is_none_are_empty(void **state)
{
	static const uint64_t empty[16];

	assert_memory_equal(&table(user)[257], &dom.l4_slot[1], 15 * sizeof(dom.l4_slot[0]));
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, user), 0);
	assert_memory_equal(&table(user)[256], empty, sizeof(empty));
	/* What is refused stays as it was. */
	table(user)[256] = 0x1234000;
	table(user)[511] = pte(FRAMES, 0);
	assert_int_not_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L4_TABLE, user), 0);
	assert_int_equal(table(user)[256], 0x1234000);
	assert_int_equal(table(user)[260], 0);
}

/* The table is shown by a kernel's root, or with m2p_strict by all that are no user's. */
static void the_machine_to_physical_table_is_the_kernels(void **state)
{
	struct vcpu_guest_context *c = context(VGCF_in_kernel);

	assert_int_equal(table(user)[256], 0);
	c->ctrlreg[1] = xen_pfn_to_cr3(user);
	assert_int_equal(vcpu_set_context(&vcpu, c), 0);
	assert_int_equal(table(l4)[256], dom.l4_slot[0]);
	assert_int_equal(table(user)[256], 0);
	assert_int_equal(root_load(&vcpu, user), 0);
	assert_int_equal(table(user)[256], dom.l4_slot[0]);
	dom.vm_assist = 1UL << VMASST_TYPE_m2p_strict;
	c->vm_assist = dom.vm_assist | 1UL << 40;
	assert_int_equal(vcpu_set_context(&vcpu, c), 0);
	assert_int_equal(table(user)[256], 0);
	assert_int_equal(dom.vm_assist, 1UL << VMASST_TYPE_m2p_strict);
	toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, user);
}

static int entry(uint64_t mfn, unsigned i, uint64_t e)
{
	return pte_update(&vcpu, mfn, i, e, false);
}

/* Linear tables: no cycle, and no reference left, whichever of them goes first. */
static void a_root_may_name_roots_read_only(void **state)
{
	assert_int_equal(entry(l4, 5, pte(l4, PTE_RW)), -EINVAL);
	assert_int_equal(entry(l4, 5, pte(l4, 0)), 0);
	assert_int_equal(dom.frame[l4].type_count, 1);
	assert_int_equal(entry(l4, 6, pte(user, 0)), 0);
	assert_int_equal(entry(user, 6, pte(l4, 0)), -EINVAL);
	assert_int_equal(entry(user, 7, pte(user, 0)), 0);
	assert_int_equal(dom.frame[user].linear, -1);
	assert_int_equal(dom.frame[l4].linear, 1);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, user), 0);
	assert_int_equal(dom.frame[user].type, FT_L4);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, l4), 0);
	for (uint64_t mfn = data; mfn <= user; mfn++) {
		assert_int_equal(dom.frame[mfn].ref_count, 0);
		assert_int_equal(dom.frame[mfn].linear, 0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(areas_are_in_the_kernels_tables_in_user_mode_too),
		TEST(user_mode_needs_a_root),
		TEST(another_ldt_at_the_same_root_is_not_the_old_one),
		TEST(the_ldt_is_in_the_kernels_tables),
		TEST(the_machine_to_physical_table_is_the_kernels),
		TEST(a_root_may_name_roots_read_only),
		TEST(the_slots_of_a_root_that_is_none_are_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
