/* SPDX-License-Identifier: MIT */
/* Descriptor tables: set_gdt, update_descriptor, the LDT. Intel SDM vol. 3, 3.4.5. */
#include "hypercalls/monitor/mm.h"

#define DESC_P	  (1UL << 47)
#define DESC_S	  (1UL << 44) /* code or data, not a system descriptor */
#define DESC_DPL  (3UL << 45)
#define DESC_TYPE (15UL << 40)
#define CALL_GATE (12UL << 40)

bool descriptor_check(uint64_t *desc)
{
	uint64_t e = *desc;

	if (!(e & DESC_P))
		return true;
	if (e & DESC_S) {
		*desc = e | DESC_DPL; /* a 64-bit guest kernel runs in ring 3 */
		return true;
	}
	if (!(e & DESC_TYPE)) /* invalid, harmless: the second half of a call gate */
		return true;
	if ((e & DESC_TYPE) != CALL_GATE)
		return false;
	*desc = e & ~DESC_DPL; /* a call through it traps, to be emulated */
	return true;
}

/* What loading the selector into GS would make its base. */
uint64_t descriptor_base(struct vcpu *v, uint64_t selector)
{
	const unsigned n = (selector & 0xffff) >> 3;
	uint64_t e;

	if (selector & 4 || n >= v->gdt_entries)
		return 0;
	e = ((uint64_t *)frame_ptr(v->d, v->gdt_mfn[n / 512]))[n % 512];
	return e & DESC_P && e & DESC_S ? (e >> 16 & 0xffffff) | (e >> 56) << 24 : 0;
}

static void tables_changed(struct vcpu *v)
{
	if (v->d->provider->load_tables)
		v->d->provider->load_tables(v);
}

void ldt_drop(struct vcpu *v)
{
	bool any = false;

	for (unsigned i = 0; i < 16 && v->ldt_entries; i++) {
		if (!v->ldt_mfn[i])
			continue;
		frame_put_type(v->d, v->ldt_mfn[i], FT_SEGDESC);
		v->ldt_mfn[i] = 0;
		any = true;
	}
	if (any)
		tables_changed(v);
}

void ldt_set(struct vcpu *v, uint64_t base, uint32_t entries)
{
	ldt_drop(v);
	v->ldt_base = base;
	v->ldt_entries = entries;
	tables_changed(v);
}

bool ldt_map(struct vcpu *v, unsigned page)
{
	uint64_t e;

	if (page >= 16 || page * 512 >= v->ldt_entries || v->ldt_mfn[page])
		return false;
	e = walk_kernel(v, v->ldt_base + page * PAGE_SIZE);
	if (!(e & PTE_P) || frame_get_type(v->d, pte_mfn(e), FT_SEGDESC))
		return false;
	v->ldt_mfn[page] = pte_mfn(e);
	tables_changed(v);
	return true;
}

long do_set_gdt(struct vcpu *v, uint64_t frames, uint64_t entries, uint64_t a3, uint64_t a4,
		uint64_t a5)
{
	struct domain *d = v->d;
	uint64_t mfn[14];
	unsigned n, got;
	int rc = 0;

	entries = (uint32_t)entries; /* an unsigned int of Xen's */
	n = (entries + 511) / 512;
	if (entries > FIRST_RESERVED_GDT_ENTRY)
		return -EINVAL;
	if (copy_from_guest(v, mfn, frames, n * sizeof(mfn[0])))
		return -EFAULT;
	for (got = 0; got < n; got++) {
		rc = frame_get_type(d, mfn[got], FT_SEGDESC);
		if (rc)
			break;
	}
	if (rc) {
		while (got--)
			frame_put_type(d, mfn[got], FT_SEGDESC);
		return -EINVAL;
	}
	for (unsigned i = 0; i < (v->gdt_entries + 511) / 512; i++)
		frame_put_type(d, v->gdt_mfn[i], FT_SEGDESC);
	memcpy(v->gdt_mfn, mfn, n * sizeof(mfn[0]));
	v->gdt_entries = entries;
	tables_changed(v);
	return 0;
}

long do_update_descriptor(struct vcpu *v, uint64_t maddr, uint64_t desc, uint64_t a3, uint64_t a4,
			  uint64_t a5)
{
	struct domain *d = v->d;
	uint64_t mfn = maddr >> PAGE_SHIFT, *slot;
	enum frame_type type = FT_WRITABLE;
	struct frame *f;

	if (maddr & 7 || !frame_is_owned(d, mfn) || !descriptor_check(&desc))
		return -EINVAL;
	f = &d->frame[mfn];
	if (f->type_count && f->type == FT_SEGDESC)
		type = FT_SEGDESC;
	if (frame_get_type(d, mfn, type)) /* also so that no CPU takes it for a table still */
		return -EINVAL;
	slot = (uint64_t *)((uint8_t *)frame_ptr(d, mfn) + (maddr & (PAGE_SIZE - 1)));
	frame_written(d, mfn);
	__atomic_store_n(slot, desc, __ATOMIC_RELAXED);
	frame_put_type(d, mfn, type);
	if (d->provider->descriptor_changed)
		d->provider->descriptor_changed(d);
	return 0;
}
