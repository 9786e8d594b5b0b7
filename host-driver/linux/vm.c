// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM is a process's memory, seen through EPT. An entry exists only while the host's page table
 * has the same page there with the same right to write: it is made from what get_user_pages
 * gives, and the interval notifier of its region takes it back. No page is held.
 */
#include <linux/pfn.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "compat.h"
#include "driver.h"

/* On each CPU that may have cached translations; out of the guest to get here, or never in. */
static void flush_ept(void *data)
{
	const struct {
		u64 eptp, zero;
	} descriptor = {ept_pointer(data), 0};

	if (vtx_on())
		asm volatile("invept %0, %1" : : "m"(descriptor), "r"(1UL) : "cc", "memory");
}

static bool invalidate(struct mmu_interval_notifier *mni, const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	struct region_notifier *n = container_of(mni, struct region_notifier, mni);
	const struct pvhost_region *r = &n->r;
	const u64 start = max_t(u64, range->start, r->hva) - r->hva + r->gpa;
	const u64 end = min_t(u64, range->end, r->hva + r->size) - r->hva + r->gpa;
	struct vm *vm = n->vm;
	LIST_HEAD(dead);
	bool flush;

	spin_lock(&vm->ept_lock);
	mmu_interval_set_seq(mni, seq);
	flush = ept_zap(&vm->ept, start, end, &dead);
	spin_unlock(&vm->ept_lock);
	/* vcpu_arrive sets its CPU's bit, then enters: it sees the entries gone, or we see the bit.
	 */
	if (flush) {
		smp_mb();
		on_each_cpu_mask(&vm->cpus, flush_ept, &vm->ept, true);
		ept_free_tables(&dead);
	}
	return true;
}

static const struct mmu_interval_notifier_ops notifier_ops = {.invalidate = invalidate};

struct vm *vm_create(void)
{
	struct vm *vm;
	int ret = vtx_get();

	if (ret)
		return ERR_PTR(ret);
	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm || ept_init(&vm->ept, vmx.features & PVHOST_F_LARGE)) {
		kfree(vm);
		vtx_put();
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&vm->ref);
	init_rwsem(&vm->lock);
	spin_lock_init(&vm->ept_lock);
	vm->mm = current->mm;
	mmgrab(vm->mm);
	return vm;
}

static void vm_free(struct kref *ref)
{
	struct vm *vm = container_of(ref, struct vm, ref);
	unsigned int i;

	for (i = 0; i < vm->regions.nr; i++) {
		mmu_interval_notifier_remove(&vm->notifier[i]->mni);
		kfree(vm->notifier[i]);
	}
	/* The table's pages may become another VM's: nothing of this one may stay cached. */
	on_each_cpu_mask(&vm->cpus, flush_ept, &vm->ept, true);
	ept_destroy(&vm->ept);
	mmdrop(vm->mm);
	kfree(vm);
	vtx_put();
}

void vm_get(struct vm *vm)
{
	kref_get(&vm->ref);
}

void vm_put(struct vm *vm)
{
	kref_put(&vm->ref, vm_free);
}

int vm_region_add(struct vm *vm, const struct pvhost_region *r)
{
	struct region_notifier *n;
	int ret;

	n = kzalloc(sizeof(*n), GFP_KERNEL_ACCOUNT);
	if (!n)
		return -ENOMEM;
	n->vm = vm;
	n->r = *r;
	down_write(&vm->lock);
	ret = region_check(&vm->regions, r, 1ULL << gpa_bits, TASK_SIZE_MAX);
	if (!ret)
		ret = mmu_interval_notifier_insert(&n->mni, vm->mm, r->hva, r->size, &notifier_ops);
	if (!ret) {
		vm->notifier[vm->regions.nr] = n;
		vm->regions.r[vm->regions.nr++] = *r;
	}
	up_write(&vm->lock);
	if (ret)
		kfree(n);
	return ret;
}

int vm_region_del(struct vm *vm, const struct pvhost_region *r)
{
	struct region_notifier *n;
	LIST_HEAD(dead);
	int i, last;

	down_write(&vm->lock);
	i = region_exact(&vm->regions, r);
	if (i < 0) {
		up_write(&vm->lock);
		return -ENOENT;
	}
	n = vm->notifier[i];
	last = --vm->regions.nr;
	vm->regions.r[i] = vm->regions.r[last];
	vm->notifier[i] = vm->notifier[last];
	/* Faults hold the lock: none can fill an entry of it any more. */
	mmu_interval_notifier_remove(&n->mni);
	spin_lock(&vm->ept_lock);
	ept_zap(&vm->ept, r->gpa, r->gpa + r->size, &dead);
	spin_unlock(&vm->ept_lock);
	on_each_cpu_mask(&vm->cpus, flush_ept, &vm->ept, true);
	ept_free_tables(&dead);
	up_write(&vm->lock);
	kfree(n);
	return 0;
}

enum host_page { HOST_NONE, HOST_SMALL, HOST_LARGE };

/*
 * What the host has at hva, with the right to write if that is asked for. Interrupts are off while
 * we look, so the tables that we walk stay; what we saw holds if the region's sequence has not
 * changed when the EPT entry is made.
 */
static enum host_page host_page(struct mm_struct *mm, unsigned long hva, bool write)
{
	enum host_page found = HOST_NONE;
	unsigned long flags;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t pmd;
	pte_t pte;
	pgd_t *pgd;

	local_irq_save(flags);
	pgd = pgd_offset(mm, hva);
	if (pgd_none(*pgd))
		goto out;
	p4d = p4d_offset(pgd, hva);
	if (p4d_none(*p4d) || !p4d_present(*p4d))
		goto out;
	pud = pud_offset(p4d, hva);
	if (pud_none(*pud) || !pud_present(*pud) || pud_leaf(*pud))
		goto out;
	pmd = READ_ONCE(*pmd_offset(pud, hva));
	if (!pmd_present(pmd))
		goto out;
	if (pmd_leaf(pmd)) {
		if (!write || pmd_write(pmd))
			found = HOST_LARGE;
		goto out;
	}
	pte = READ_ONCE(*pte_offset_kernel(&pmd, hva));
	if (pte_present(pte) && (!write || pte_write(pte)))
		found = HOST_SMALL;
out:
	local_irq_restore(flags);
	return found;
}

/*
 * get_user_pages would do this as well, but walks the tables twice more before it does. Whether it
 * has worked, get_user_pages tells.
 */
static void host_fault(struct mm_struct *mm, unsigned long hva, bool write)
{
	bool unlocked = false;

	if (mmap_read_lock_killable(mm))
		return;
	fixup_user_fault(mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
	mmap_read_unlock(mm);
}

/* With vm->lock. -EAGAIN: the host's page table changed meanwhile. */
static int fault_once(struct vm *vm, struct region_notifier *n, struct ept_reserve *reserve,
		      u64 gpa, bool write)
{
	const unsigned long hva = gpa - n->r.gpa + n->r.hva;
	unsigned long seq;
	struct page *page;
	bool large;
	int ret;

	ret = ept_reserve_fill(reserve);
	if (ret)
		return ret;
	if (host_page(vm->mm, hva, write) == HOST_NONE)
		host_fault(vm->mm, hva, write);
	seq = mmu_interval_read_begin(&n->mni);
	if (get_user_pages_fast(hva, 1, write ? FOLL_WRITE : 0, &page) != 1)
		return -EFAULT;
	large = vm->ept.large && region_large(&n->r, gpa) &&
		host_page(vm->mm, hva, write) == HOST_LARGE;
	/* Before anyone can write: from now on, write-back takes the entry away first. */
	if (write)
		set_page_dirty_lock(page);
	spin_lock(&vm->ept_lock);
	ret = mmu_interval_read_retry(&n->mni, seq) ? -EAGAIN : 0;
	if (!ret)
		ept_map(&vm->ept, reserve, gpa & PAGE_MASK, PFN_PHYS(page_to_pfn(page)), large,
			write);
	spin_unlock(&vm->ept_lock);
	put_page(page);
	return ret;
}

int vm_fault(struct vm *vm, struct ept_reserve *reserve, u64 gpa, bool write)
{
	int i, ret;

	down_read(&vm->lock);
	i = region_find(&vm->regions, gpa);
	do
		ret = i < 0 ? -EFAULT : fault_once(vm, vm->notifier[i], reserve, gpa, write);
	while (ret == -EAGAIN && !fatal_signal_pending(current));
	up_read(&vm->lock);
	return ret;
}
