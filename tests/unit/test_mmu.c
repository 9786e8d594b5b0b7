/* SPDX-License-Identifier: MIT */
/* Direct paging keeps its promises: no page table is ever writable, counts return to zero. */
#include "tests/unit/fake_tables.h"

static void a_page_table_is_never_mapped_writable(void **state)
{
	assert_int_equal(map(VA, pte(l1, PTE_RW)), -EBUSY);
	assert_int_equal(map(VA, pte(l4, PTE_RW)), -EBUSY);
	assert_int_equal(map(VA, pte(l4, 0)), 0);
}

static void a_writable_page_never_becomes_a_page_table(void **state)
{
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, data), -EINVAL);
	assert_int_equal(map(VA, 0), 0);
	memset(frame_ptr(&dom, data), 0, PAGE_SIZE);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, data), 0);
	assert_int_equal(map(VA, pte(data, PTE_RW)), -EBUSY);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, data), 0);
	assert_int_equal(map(VA, pte(data, PTE_RW)), 0);
}

static void frames_that_are_not_the_guests_are_refused(void **state)
{
	assert_true(map(VA, pte(FRAMES, PTE_RW)) < 0);
	assert_true(map(VA, pte(PTE_MFN_MASK >> PAGE_SHIFT, PTE_RW)) < 0);
	assert_true(map(VA, pte(0, PTE_RW)) < 0);
	assert_true(map(VA, pte(FRAMES - 1, PTE_RW)) < 0); /* in the memfd, not allocated */
	assert_true(map(VA, pte(PVDOM_MFN_GRANT + 1, PTE_RW)) < 0);
	assert_int_equal(map(VA, pte(PVDOM_MFN_SHARED_INFO, PTE_RW)), 0);
	assert_int_equal(map(VA, pte(PVDOM_MFN_GRANT, PTE_RW)), 0);
}

static void the_hypervisors_slots_are_refused(void **state)
{
	assert_int_equal(pte_update(&vcpu, l4, 256, pte(l3, 0), false), -EINVAL);
	assert_int_equal(pte_update(&vcpu, l4, 271, 0, false), -EINVAL);
	assert_int_equal(map(HYPERVISOR_START, pte(data, 0)), -EINVAL);
	assert_int_equal(copy_from_guest(&vcpu, &(int){0}, HYPERVISOR_START, 4), -EFAULT);
}

static uint64_t word_at(uint64_t va)
{
	uint64_t word = 0;

	return copy_from_guest(&vcpu, &word, va, sizeof(word)) ? ~0UL : word;
}

static uint64_t new_table(uint64_t pfn, unsigned index, uint64_t below)
{
	const uint64_t mfn = frame_alloc(&dom, 0, pfn);

	table(mfn)[index] = pte(below, PTE_RW);
	return mfn;
}

/* What a copy remembers of the page tables is forgotten with them. */
static void a_copy_follows_every_change_of_the_tables(void **state)
{
	const uint64_t word = 0x1234;
	uint64_t l1b, l2b, l3b, l4b;

	for (unsigned i = 0; i < MAPPED; i++)
		*table(data + i) = i;
	assert_int_equal(word_at(VA), 0);
	assert_int_equal(copy_to_guest(&vcpu, VA, &word, 0), 0);
	assert_int_equal(map(VA, pte(data + 1, PTE_RW)), 0);
	assert_int_equal(word_at(VA), 1);
	assert_int_equal(copy_to_guest(&vcpu, VA, &word, sizeof(word)), 0);
	assert_int_equal(word_at(VA), word);
	assert_int_equal(map(VA, pte(data + 1, 0)), 0);
	assert_int_equal(word_at(VA), word);
	assert_int_equal(copy_to_guest(&vcpu, VA, &word, sizeof(word)), -EFAULT);
	assert_int_equal(map(VA, 0), 0);
	assert_int_equal(word_at(VA), ~0UL);
	assert_int_equal(map(VA, pte(data + 2, 0)), 0);
	assert_int_equal(word_at(VA), 2);

	/* Another table in a level above. */
	l1b = new_table(40, 0, data + 3);
	assert_int_equal(pte_update(&vcpu, l2, VA >> 21 & 511, pte(l1b, PTE_RW), false), 0);
	assert_int_equal(word_at(VA), 3);
	assert_int_equal(pte_update(&vcpu, l2, VA >> 21 & 511, pte(l1, PTE_RW), false), 0);

	/* Another root, and then the first frame as a root of other contents. */
	l1b = new_table(41, 0, data + 4);
	l2b = new_table(42, VA >> 21 & 511, l1b);
	l3b = new_table(43, 0, l2b);
	l4b = new_table(44, 0, l3b);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L4_TABLE, l4b), 0);
	assert_int_equal(word_at(VA), 2);
	assert_int_equal(root_load(&vcpu, l4b), 0);
	assert_int_equal(word_at(VA), 4);
	assert_int_equal(root_load(&vcpu, l4), 0);
	assert_int_equal(word_at(VA), 2);
	assert_int_equal(root_load(&vcpu, l4b), 0);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, l4), 0);
	table(l4)[0] = pte(l3b, PTE_RW);
	assert_int_equal(root_load(&vcpu, l4), 0);
	assert_int_equal(word_at(VA), 4);
}

static void between_two_pages_there_is_no_pointer(void **state)
{
	const uint64_t word = 0x1122334455667788, at = VA + PAGE_SIZE - 3;

	assert_null(guest_ptr(&vcpu, at, sizeof(word)));
	assert_int_equal(copy_to_guest(&vcpu, at, &word, sizeof(word)), 0);
	assert_int_equal(word_at(at), word);
	assert_int_equal(*table(data + 1), word >> 24);
	assert_non_null(guest_ptr(&vcpu, VA + PAGE_SIZE - 8, sizeof(word)));
	assert_int_equal(map(VA + PAGE_SIZE, 0), 0);
	assert_int_equal(word_at(at), ~0UL);
}

static void a_table_that_maps_itself_writable_is_refused(void **state)
{
	uint64_t mfn = frame_alloc(&dom, 0, 30);

	table(mfn)[0] = pte(mfn, PTE_RW);
	assert_true(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, mfn) < 0);
	assert_int_equal(dom.frame[mfn].type_count, 0);
	assert_int_equal(dom.frame[mfn].ref_count, 0);
}

static void a_failed_validation_leaves_no_reference(void **state)
{
	uint64_t mfn = frame_alloc(&dom, 0, 30);
	uint32_t before = dom.frame[data + 1].ref_count;

	table(mfn)[0] = pte(data + 1, PTE_RW);
	table(mfn)[1] = pte(FRAMES + 5, PTE_RW);
	assert_true(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, mfn) < 0);
	assert_int_equal(dom.frame[data + 1].ref_count, before);
}

static void unpinning_the_root_returns_all_counts_to_zero(void **state)
{
	frame_put_type(&dom, l4, FT_L4); /* the vCPU's own reference */
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, l4), 0);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, l4), -EINVAL);
	for (uint64_t i = PVDOM_MFN_RAM; i < FRAMES; i++) {
		assert_int_equal(dom.frame[i].ref_count, 0);
		assert_int_equal(dom.frame[i].type_count, 0);
	}
}

static void a_present_entry_that_changes_leaves_the_mirror(void **state)
{
	dom.frame[l1].va_hint = VA;
	assert_int_equal(map(VA, pte(data, 0)), 0);
	assert_true(page_flushes > 0);
	dom.frame[l1].va_hint = VA_HINT_MANY;
	assert_int_equal(map(VA + PAGE_SIZE, 0), 0);
	assert_true(flushes > 0);
}

static void copies_stop_at_what_the_guest_may_not_touch(void **state)
{
	uint8_t buf[64] = {1, 2, 3};

	assert_int_equal(copy_to_guest(&vcpu, VA + PAGE_SIZE - 8, buf, sizeof(buf)), 0);
	assert_int_equal(copy_from_guest(&vcpu, buf, VA + PAGE_SIZE - 8, sizeof(buf)), 0);
	assert_int_equal(buf[2], 3);
	assert_int_equal(copy_to_guest(&vcpu, VA + MAPPED * PAGE_SIZE, buf, 8), -EFAULT);
	assert_int_equal(copy_from_guest(&vcpu, buf, VA + MAPPED * PAGE_SIZE + 4092, 8), -EFAULT);
	assert_int_equal(copy_from_guest(&vcpu, buf, 1UL << 62, 8), -EFAULT);
	assert_int_equal(copy_from_guest(&vcpu, buf, ~0UL - 3, 8), -EFAULT);
}

static long mmuext(unsigned cmd, uint64_t mfn)
{
	struct mmuext_op op = {.cmd = cmd, .arg1.mfn = mfn};

	memcpy(args(0), &op, sizeof(op));
	return do_mmuext_op(&vcpu, VA, 1, 0, DOMID_SELF, 0);
}

static void a_batch_stops_at_the_first_refusal_and_says_where(void **state)
{
	struct mmu_update *u = args(0);
	uint32_t *done = args(512);

	for (unsigned i = 0; i < 3; i++)
		u[i] = (struct mmu_update){.ptr = l1 * PAGE_SIZE + 8 * (8 + i)};
	u[1].val = pte(l2, PTE_RW);
	assert_int_equal(do_mmu_update(&vcpu, VA, 3, VA + 512, DOMID_SELF, 0), -EBUSY);
	assert_int_equal(*done, 1);
	assert_int_equal(table(l1)[8], 0);
	assert_true(table(l1)[10] & PTE_P);
	assert_int_equal(do_mmu_update(&vcpu, VA, 1, VA + 512, 0, 0), -EPERM);
	assert_int_equal(do_mmu_update(&vcpu, VA, 1, VA + 512, 99, 0), -ESRCH);
	assert_int_equal(do_mmu_update(&vcpu, 0, 1, 0, DOMID_SELF, 0), -EFAULT);
}

static void entries_get_the_bits_xen_gives_them(void **state)
{
	assert_int_equal(map(VA, data << PAGE_SHIFT | PTE_P | PTE_RW), 0);
	assert_int_equal(table(l1)[0] & (PTE_US | PTE_G | 1UL << 52), PTE_US | 1UL << 52);
	assert_int_equal(map(VA, pte(data, PTE_RW | PTE_US)), 0);
	assert_int_equal(table(l1)[0] & (PTE_US | PTE_G | 1UL << 52), PTE_US | PTE_G);
	assert_int_equal(map(VA, pte(data, PTE_RW | 0x10)), -EINVAL);
	assert_int_equal(pte_update(&vcpu, l2, 0, pte(data, PTE_PS), false), -EINVAL);
	assert_true(table(l4)[0] & PTE_A);
}

static void a_change_above_the_l1_forgets_every_mapping(void **state)
{
	assert_int_equal(pte_update(&vcpu, l2, 7, pte(l1, PTE_RW), false), 0);
	assert_int_equal(flushes, 0);
	assert_int_equal(pte_update(&vcpu, l2, 7, 0, false), 0);
	assert_int_equal(flushes, 1);
}

static void roots_and_the_ldt(void **state)
{
	uint64_t other = frame_alloc(&dom, 0, 40);
	struct mmuext_op op = {
		.cmd = MMUEXT_SET_LDT, .arg1.linear_addr = HYPERVISOR_END, .arg2.nr_ents = 512};

	assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, l1), -EINVAL);
	assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, FRAMES), -EINVAL);
	assert_int_equal(mmuext(MMUEXT_NEW_USER_BASEPTR, other), 0);
	assert_int_equal(dom.frame[other].type, FT_L4);
	assert_int_equal(mmuext(MMUEXT_NEW_USER_BASEPTR, 0), 0);
	assert_int_equal(dom.frame[other].ref_count, 0);
	memcpy(args(0), &op, sizeof(op));
	assert_int_equal(do_mmuext_op(&vcpu, VA, 1, 0, DOMID_SELF, 0), 0);
	op.arg1.linear_addr = HYPERVISOR_START;
	memcpy(args(0), &op, sizeof(op));
	assert_int_equal(do_mmuext_op(&vcpu, VA, 1, 0, DOMID_SELF, 0), -EINVAL);
	assert_int_equal(mmuext(MMUEXT_MARK_SUPER, data), -EOPNOTSUPP);
	assert_int_equal(mmuext(99, 0), -ENOSYS);
}

static uint32_t loaded_entries;
static uint64_t loaded_base;

static void load_tables(struct vcpu *v)
{
	loaded_entries = v->ldt_entries;
	loaded_base = v->ldt_base;
}

static void the_provider_learns_the_size_of_a_new_ldt(void **state)
{
	static const struct provider cpu = {.load_tables = load_tables};
	struct mmuext_op op = {.cmd = MMUEXT_SET_LDT, .arg1.linear_addr = VA};

	dom.provider = &cpu;
	for (op.arg2.nr_ents = 1; op.arg2.nr_ents < 4; op.arg2.nr_ents++) {
		memcpy(args(0), &op, sizeof(op));
		assert_int_equal(do_mmuext_op(&vcpu, VA, 1, 0, DOMID_SELF, 0), 0);
		assert_int_equal(loaded_entries, op.arg2.nr_ents);
		assert_int_equal(loaded_base, VA);
	}
}

static void vcpus_share_a_root_where_the_provider_shows_one(void **state)
{
	static const struct provider one = {
		.one_root = true, .invalidate = invalidate, .root_changed = root_changed};
	const uint64_t other = frame_alloc(&dom, 0, 40);
	struct vcpu second = {.d = &dom, .id = 1};

	dom.vcpu[0] = &vcpu;
	dom.vcpu[1] = &second;
	dom.nr_vcpus = 2;
	vcpu.initialised = true;
	assert_int_equal(root_load(&second, other), 0);
	assert_int_equal(root_load(&second, l4), 0);
	dom.provider = &one;
	assert_int_equal(root_load(&second, other), -EOPNOTSUPP);
	assert_int_equal(dom.frame[other].ref_count, 0);
	assert_int_equal(root_load(&vcpu, other), 0); /* the second has no context */
	assert_int_equal(root_load(&vcpu, l4), 0);
	second.initialised = true;
	assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, other), -EOPNOTSUPP);
}

static unsigned cpu_flushes;

static void cpu_flush(struct domain *d, uint32_t vcpus, uint64_t va)
{
	cpu_flushes += va == FLUSH_ALL;
}

/* Also by the hypercalls that write to ordinary memory: a CPU may still walk it as a table. */
static void what_was_a_table_is_written_after_a_flush(void **state)
{
	static const struct provider cpu = {.flush = cpu_flush, .root_changed = root_changed};
	const uint64_t t = frame_alloc(&dom, 0, 40);

	dom.provider = &cpu;
	dom.vcpu[0] = &vcpu;
	dom.nr_vcpus = 1;
	cpu_flushes = 0;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, t), 0);
		assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, t), 0);
		assert_int_equal(cpu_flushes, 2 * i);
		if (i)
			assert_int_equal(do_update_descriptor(&vcpu, t << PAGE_SHIFT, 0, 0, 0, 0),
					 0);
		else
			assert_int_equal(pte_update(&vcpu, t, 0, 42, false), 0);
		assert_int_equal(cpu_flushes, 2 * i + 1);
		assert_int_equal(dom.frame[t].ref_count, 0);
		table(t)[0] = 0;
	}
}

/* As a load of CR3 is; and it changes nothing else. */
static void the_same_root_again_flushes_its_vcpu(void **state)
{
	static const struct provider cpu = {.flush = cpu_flush, .root_changed = root_changed};
	const uint32_t refs = dom.frame[l4].ref_count;

	dom.provider = &cpu;
	dom.vcpu[0] = &vcpu;
	dom.nr_vcpus = 1;
	cpu_flushes = 0;
	assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, l4), 0);
	assert_int_equal(cpu_flushes, 1);
	assert_int_equal(dom.frame[l4].ref_count, refs);
}

/* How a guest learns that it cannot have a user mode. */
static void no_user_root_where_the_provider_shows_one_root(void **state)
{
	static const struct provider one = {
		.one_root = true, .invalidate = invalidate, .root_changed = root_changed};
	const uint64_t other = frame_alloc(&dom, 0, 40);

	dom.provider = &one;
	assert_int_equal(mmuext(MMUEXT_NEW_USER_BASEPTR, other), -EOPNOTSUPP);
	assert_int_equal(vcpu.user_cr3_mfn, 0);
	assert_int_equal(dom.frame[other].ref_count, 0);
	assert_int_equal(mmuext(MMUEXT_NEW_USER_BASEPTR, FRAMES), -EINVAL);
	assert_int_equal(mmuext(MMUEXT_NEW_USER_BASEPTR, 0), 0);
}

static void a_descriptor_table_is_checked_and_read_only(void **state)
{
	uint64_t *list = args(1024), gdt = frame_alloc(&dom, 0, 60);

	list[0] = gdt;
	table(gdt)[1] = 0x00af9b000000ffff; /* 64-bit code, DPL 0 */
	table(gdt)[2] = 0x00008b0000000067; /* a TSS */
	assert_int_equal(do_set_gdt(&vcpu, VA + 1024, 512, 0, 0, 0), -EINVAL);
	table(gdt)[2] = 0;
	assert_int_equal(do_set_gdt(&vcpu, VA + 1024, 512, 0, 0, 0), 0);
	assert_int_equal(table(gdt)[1] >> 45 & 3, 3);
	assert_int_equal(map(VA + PAGE_SIZE, pte(gdt, PTE_RW)), -EBUSY);
	assert_int_equal(
		do_update_descriptor(&vcpu, gdt * PAGE_SIZE + 16, 0x00008b0000000067, 0, 0, 0),
		-EINVAL);
	assert_int_equal(do_update_descriptor(&vcpu, l1 * PAGE_SIZE, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(do_set_gdt(&vcpu, 0, 0, 0, 0, 0), 0);
	assert_int_equal(dom.frame[gdt].ref_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_page_table_is_never_mapped_writable),
		T(a_writable_page_never_becomes_a_page_table),
		T(frames_that_are_not_the_guests_are_refused),
		T(the_hypervisors_slots_are_refused),
		T(a_copy_follows_every_change_of_the_tables),
		T(between_two_pages_there_is_no_pointer),
		T(a_table_that_maps_itself_writable_is_refused),
		T(a_failed_validation_leaves_no_reference),
		T(unpinning_the_root_returns_all_counts_to_zero),
		T(a_present_entry_that_changes_leaves_the_mirror),
		T(copies_stop_at_what_the_guest_may_not_touch),
		T(a_batch_stops_at_the_first_refusal_and_says_where),
		T(entries_get_the_bits_xen_gives_them),
		T(a_change_above_the_l1_forgets_every_mapping),
		T(roots_and_the_ldt),
		T(the_provider_learns_the_size_of_a_new_ldt),
		T(vcpus_share_a_root_where_the_provider_shows_one),
		T(what_was_a_table_is_written_after_a_flush),
		T(the_same_root_again_flushes_its_vcpu),
		T(no_user_root_where_the_provider_shows_one_root),
		T(a_descriptor_table_is_checked_and_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
