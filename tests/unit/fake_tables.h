/* SPDX-License-Identifier: MIT */
/* A domain with a little address space, for what changes page tables and who owns frames. */
#ifndef PAVANE_FAKE_TABLES_H
#define PAVANE_FAKE_TABLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hypercalls/monitor/mm.h"

#define RAM_FRAMES 64
#define FRAMES	   (PVDOM_MFN_RAM + RAM_FRAMES)
#define VA	   0x400000UL /* where the little address space maps its frames */
#define MAPPED	   16	      /* frames mapped from there */

struct domain *the_domain;
__thread struct vcpu *current;

static struct domain dom;
static struct vcpu vcpu;
static unsigned flushes, page_flushes;
static uint64_t data, l1, l2, l3, l4; /* frames: MAPPED data frames, then one table a level */

static inline void invalidate(struct domain *d, uint64_t va)
{
	if (va == FLUSH_ALL)
		flushes++;
	else
		page_flushes++;
}

static inline void root_changed(struct vcpu *v)
{
}

static const struct provider provider = {.invalidate = invalidate, .root_changed = root_changed};

static inline uint64_t *table(uint64_t mfn)
{
	return frame_ptr(&dom, mfn);
}

static inline uint64_t pte(uint64_t mfn, uint64_t flags)
{
	return mfn << PAGE_SHIFT | flags | PTE_P;
}

/* A pinned L4 that maps `data` writable and the L1 itself read-only. */
static inline int setup(void **state)
{
	dom = (struct domain){.id = 7,
			      .provider = &provider,
			      .nr_frames = FRAMES,
			      .max_pages = RAM_FRAMES,
			      .grant_frames = 1};
	vcpu = (struct vcpu){.d = &dom, .kernel_mode = true};
	dom.ram_fd = memfd_create("ram", 0);
	assert_int_equal(ftruncate(dom.ram_fd, FRAMES * PAGE_SIZE), 0);
	dom.ram = mmap(NULL, FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, dom.ram_fd, 0);
	assert_int_equal(frame_init(&dom), 0);
	data = frame_alloc(&dom, 4, 0);
	l1 = frame_alloc(&dom, 0, 16);
	l2 = frame_alloc(&dom, 0, 17);
	l3 = frame_alloc(&dom, 0, 18);
	l4 = frame_alloc(&dom, 0, 19);
	for (unsigned i = 0; i < MAPPED; i++)
		table(l1)[i] = pte(data + i, PTE_RW);
	table(l1)[MAPPED] = pte(l1, 0);
	table(l2)[VA >> 21 & 511] = pte(l1, PTE_RW);
	table(l3)[0] = pte(l2, PTE_RW);
	table(l4)[0] = pte(l3, PTE_RW);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L4_TABLE, l4), 0);
	assert_int_equal(root_load(&vcpu, l4), 0);
	flushes = page_flushes = 0;
	return 0;
}

static inline int teardown(void **state)
{
	munmap(dom.ram, FRAMES * PAGE_SIZE);
	munmap(dom.frame, FRAMES * sizeof(struct frame));
	close(dom.ram_fd);
	return 0;
}

static inline long map(uint64_t va, uint64_t val)
{
	return do_update_va_mapping(&vcpu, va, val, UVMF_INVLPG, 0, 0);
}

/* The guest's view: arguments lie in its own page at VA. */
static inline void *args(unsigned offset)
{
	return (uint8_t *)frame_ptr(&dom, data) + offset;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
