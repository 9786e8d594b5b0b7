/* SPDX-License-Identifier: MIT */
/*
 * A write barrier for a generational garbage collector, three ways.
 *
 * A minor collection frees young objects that nobody points to. Most pointers to them are in young
 * objects; the few in old ones would be found by reading the whole old heap, so a collector wants
 * to know which old pages the program wrote since last time. It can
 *
 *	mprotect	the old heap read-only; the first write to a page is a SIGSEGV
 *	userfaultfd	write-protect it; a second thread hears of the first write to a page
 *	page tables	clear the dirty bits; the CPU sets them again as it writes, for nothing
 *
 * The same program runs under each of them, and each must find the same pages. Counts are of
 * rdtsc: cycles, and in Bochs instructions.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "host-driver/libpavane/pavane.h"
#include "tests/pvhost/check.h"

#define PAGE   4096ul
#define PAGES  512 /* the old heap is 2 MiB: what one last-level page table covers */
#define SIZE   (PAGES * PAGE)
#define SLOTS  (SIZE / sizeof(struct object *))
#define WRITES 20000
#define ROUNDS 12

struct object {
	struct object *next;
};

struct barrier {
	const char *name;
	void (*arm)(void);  /* from now on, remember writes */
	void (*find)(void); /* the pages that were written: into dirty */
};

static struct object **old_heap;
static struct object young[1000];
static bool dirty[PAGES];

/* --- the program, and what the collector does with the pages --- */

/* Most writes go to few pages, as in real programs; every hundredth is a pointer to a young one. */
static void mutate(void)
{
	uint32_t random = 1;
	size_t slot;

	for (unsigned i = 0; i < WRITES; i++) {
		random = random * 1664525 + 1013904223;
		slot = random >> 8;
		slot = i % 200 ? slot % (SLOTS / 16) : slot % SLOTS;
		old_heap[slot] = i % 100 ? NULL : &young[i / 100];
	}
}

static bool is_young(const struct object *o)
{
	return o >= young && o < young + sizeof(young) / sizeof(young[0]);
}

/* The young objects that the old heap keeps alive, by the dirty pages alone or by all. */
static unsigned roots(bool all)
{
	unsigned n = 0;

	for (size_t i = 0; i < SLOTS; i++) {
		if (all || dirty[i * sizeof(*old_heap) / PAGE])
			n += is_young(old_heap[i]);
		else
			i += PAGE / sizeof(*old_heap) - 1;
	}
	return n;
}

/* --- mprotect --- */

static void on_segv(int sig, siginfo_t *si, void *context)
{
	const size_t page = ((uint8_t *)si->si_addr - (uint8_t *)old_heap) / PAGE;

	if (page >= PAGES ||
	    mprotect((uint8_t *)old_heap + page * PAGE, PAGE, PROT_READ | PROT_WRITE))
		_exit(1);
	dirty[page] = true;
}

static void mprotect_arm(void)
{
	mprotect(old_heap, SIZE, PROT_READ);
}

/* --- userfaultfd --- */

static int uffd = -1;

static void uffd_protect(uint64_t va, uint64_t size, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = {va, size},
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0, /* off wakes the writer, too */
	};

	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
		_exit(1);
}

static void *uffd_listen(void *unused)
{
	struct uffd_msg msg;
	uint64_t va;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		va = msg.arg.pagefault.address & -PAGE;
		dirty[(va - (uint64_t)old_heap) / PAGE] = true;
		uffd_protect(va, PAGE, false);
	}
	return NULL;
}

static void uffd_arm(void)
{
	uffd_protect((uint64_t)old_heap, SIZE, true);
}

/* 0 or -errno. */
static int uffd_start(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
	struct uffdio_register reg = {.range = {(uint64_t)old_heap, SIZE},
				      .mode = UFFDIO_REGISTER_MODE_WP};
	pthread_t thread;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return -pthread_create(&thread, NULL, uffd_listen, NULL);
}

/* --- page tables --- */

static uint64_t *entries;

static void bits_arm(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		entries[i] &= ~PV_PTE_DIRTY;
	pv_flush_all(); /* the CPU sets the bit only where it has not cached that it is set */
}

static void bits_find(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		dirty[i] = entries[i] & PV_PTE_DIRTY;
}

/* --- all of them --- */

struct result {
	uint64_t arm, run, find, cost;
	unsigned pages, roots, all_roots;
	bool dirty[PAGES];
};

static void nothing(void)
{
}

/*
 * Of several rounds the first does not count, as a collector goes on and on; of the others the one
 * that fewest interrupts of the host fell into.
 */
static void run(const struct barrier *b, struct result *r)
{
	uint64_t t0, t1, t2, t3;

	memset(old_heap, 0, SIZE);
	r->cost = -1;
	for (int i = 0; i < ROUNDS; i++) {
		memset(dirty, 0, sizeof(dirty));
		t0 = __rdtsc();
		b->arm();
		t1 = __rdtsc();
		mutate();
		t2 = __rdtsc();
		b->find();
		t3 = __rdtsc();
		if (!i || t3 - t0 >= r->cost)
			continue;
		r->cost = t3 - t0;
		r->arm = t1 - t0;
		r->run = t2 - t1;
		r->find = t3 - t2;
	}
	r->roots = roots(false);
	r->all_roots = roots(true);
	for (unsigned i = 0; i < PAGES; i++)
		r->pages += dirty[i];
	memcpy(r->dirty, dirty, sizeof(dirty));
}

static void say(const struct barrier *b, struct result *r, const struct result *bare)
{
	r->cost -= bare->run;
	printf("%-11s %3u pages, %3u roots; arm %6lu, run %7lu, find %4lu: costs %7lu\n", b->name,
	       r->pages, r->roots, r->arm, r->run, r->find, r->cost);
}

int main(void)
{
	static const struct barrier none = {"none", nothing, nothing},
				    protect = {"mprotect", mprotect_arm, nothing},
				    user = {"userfaultfd", uffd_arm, nothing},
				    bits = {"page tables", bits_arm, bits_find};
	static struct result by_none, by_protect, by_user, by_bits;
	int ret;

	old_heap = (void *)(((uintptr_t)mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) +
			     SIZE - 1) &
			    -SIZE);
	madvise(old_heap, SIZE, MADV_NOHUGEPAGE);
	run(&none, &by_none);

	sigaction(SIGSEGV, &(struct sigaction){.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO},
		  NULL);
	run(&protect, &by_protect);
	mprotect(old_heap, SIZE, PROT_READ | PROT_WRITE);
	signal(SIGSEGV, SIG_DFL);

	ret = pv_enter();
	check(!ret, "enter", "%s", strerror(-ret));
	if (ret)
		return finish();
	/* The heap is aligned to what one table covers, so its entries are one array. */
	entries = pv_entry(pv_root_current(), old_heap);
	run(&bits, &by_bits);
	pv_leave();

	ret = uffd_start();
	check(!ret, "userfaultfd", "%s", strerror(-ret));
	if (ret)
		return finish();
	run(&user, &by_user);

	say(&none, &by_none, &by_none);
	say(&protect, &by_protect, &by_none);
	say(&user, &by_user, &by_none);
	say(&bits, &by_bits, &by_none);

	check(by_none.pages == 0 && by_none.roots == 0 && by_none.all_roots > 0,
	      "without a barrier nothing is found", "%u pages", by_none.pages);
	check(by_bits.pages > 0 && by_bits.pages < PAGES, "some pages were written", "%u",
	      by_bits.pages);
	check(!memcmp(by_bits.dirty, by_protect.dirty, sizeof(dirty)),
	      "dirty bits find the pages that mprotect finds", "%u, not %u", by_bits.pages,
	      by_protect.pages);
	check(!memcmp(by_bits.dirty, by_user.dirty, sizeof(dirty)),
	      "and those that userfaultfd finds", "%u, not %u", by_bits.pages, by_user.pages);
	check(by_bits.roots == by_bits.all_roots && by_bits.roots > 0,
	      "the dirty pages hold every pointer to a young object", "%u of %u", by_bits.roots,
	      by_bits.all_roots);
	check(by_bits.cost * 100 < by_protect.cost, "for less than a hundredth of mprotect",
	      "%lu, %lu", by_bits.cost, by_protect.cost);
	check(by_bits.cost * 100 < by_user.cost, "and less than a hundredth of userfaultfd",
	      "%lu, %lu", by_bits.cost, by_user.cost);
	return finish();
}
