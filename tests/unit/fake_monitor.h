/* SPDX-License-Identifier: MIT */
/*
 * A small domain for unit tests of hypercalls/monitor/: two vCPUs, 16 frames of RAM, a provider
 * and a broker that only count. Guest linear memory is the array `guest`, at its own address.
 */
#ifndef PAVANE_FAKE_MONITOR_H
#define PAVANE_FAKE_MONITOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "hypercalls/monitor/mm.h"

#define FAKE_RAM    16
#define FAKE_FRAMES (PVDOM_MFN_RAM + FAKE_RAM)
#define BAD_VA	    0xdead0000UL

struct domain *the_domain;
__thread struct vcpu *current;

static uint8_t guest[65536] __attribute__((aligned(4096)));
static struct domain dom;
static struct vcpu vcpus[2];
static struct frame frames[FAKE_FRAMES];
static uint8_t ram[FAKE_FRAMES * 4096] __attribute__((aligned(4096)));

static unsigned kicks, up_calls, watched, unwatched;
static uint32_t up_op;
static uint64_t up_arg[4];
static long up_ret;
static bool up_gives_fds, up_lock_held;
static int up_peer[2]; /* the other ends of what UP_EVTCHN_BIND gave */

static void fake_kick(struct vcpu *v)
{
	kicks++;
}

static void fake_invalidate(struct domain *d, uint64_t va)
{
}

static void fake_root_changed(struct vcpu *v)
{
}

static const struct provider fake_provider = {
	.name = "fake",
	.kick = fake_kick,
	.invalidate = fake_invalidate,
	.root_changed = fake_root_changed,
};

static bool in_guest(uint64_t va, size_t n)
{
	return va >= (uint64_t)guest && n <= sizeof(guest) &&
	       va - (uint64_t)guest <= sizeof(guest) - n;
}

int copy_from_guest(struct vcpu *v, void *dst, uint64_t va, size_t n)
{
	if (!in_guest(va, n))
		return -EFAULT;
	memcpy(dst, (void *)va, n);
	return 0;
}

int copy_to_guest(struct vcpu *v, uint64_t va, const void *src, size_t n)
{
	if (!in_guest(va, n))
		return -EFAULT;
	memcpy((void *)va, src, n);
	return 0;
}

const void *guest_ptr(struct vcpu *v, uint64_t va, size_t n)
{
	return in_guest(va, n) && va / PAGE_SIZE == (va + n - 1) / PAGE_SIZE ? (void *)va : NULL;
}

int copy_to_kernel(struct vcpu *v, uint64_t va, const void *src, size_t n)
{
	return copy_to_guest(v, va, src, n);
}

void m2p_for_user(struct domain *d, uint64_t l4)
{
}

void ldt_drop(struct vcpu *v)
{
}

void *frame_ptr(struct domain *d, uint64_t mfn)
{
	return mfn < d->nr_frames ? d->ram + mfn * PAGE_SIZE : NULL;
}

bool frame_is_ram(struct domain *d, uint64_t mfn)
{
	return mfn < d->nr_frames && d->frame[mfn].kind == FRAME_RAM;
}

int frame_get_type(struct domain *d, uint64_t mfn, enum frame_type type)
{
	if (!frame_is_ram(d, mfn) || (d->frame[mfn].type_count && d->frame[mfn].type != type))
		return -EINVAL;
	d->frame[mfn].type = type;
	d->frame[mfn].type_count++;
	return 0;
}

void frame_put_type(struct domain *d, uint64_t mfn, enum frame_type type)
{
	assert_int_equal(d->frame[mfn].type, type);
	assert_true(d->frame[mfn].type_count > 0);
	d->frame[mfn].type_count--;
}

int pte_update(struct vcpu *v, uint64_t table, unsigned index, uint64_t pte, bool keep)
{
	((uint64_t *)frame_ptr(v->d, table))[index] = pte;
	return 0;
}

int root_load(struct vcpu *v, uint64_t mfn)
{
	if (!frame_is_ram(v->d, mfn))
		return -EINVAL;
	v->cr3_mfn = mfn;
	return 0;
}

long do_set_debugreg(struct vcpu *v, uint64_t reg, uint64_t val, uint64_t a3, uint64_t a4,
		     uint64_t a5)
{
	return 0;
}

long up_call(struct domain *d, uint32_t op, const uint64_t arg[4], const void *out,
	     uint32_t out_len, void *in, uint32_t in_size, int fds[2])
{
	up_calls++;
	up_op = op;
	memcpy(up_arg, arg, sizeof(up_arg));
	/* The contract: never with the lock held. */
	if (pthread_mutex_trylock(&d->lock))
		up_lock_held = true;
	else
		pthread_mutex_unlock(&d->lock);
	if (fds && up_gives_fds && up_ret >= 0)
		for (int i = 0; i < 2; i++) {
			fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
			up_peer[i] = dup(fds[i]);
		}
	return up_ret;
}

int io_watch(struct domain *d, int fd, uint32_t port)
{
	watched++;
	return 0;
}

void io_unwatch(struct domain *d, int fd)
{
	unwatched++;
}

static inline void *arg_at(unsigned offset)
{
	return guest + offset;
}

static int fake_setup(void **state)
{
	memset(&dom, 0, sizeof(dom));
	memset(vcpus, 0, sizeof(vcpus));
	memset(frames, 0, sizeof(frames));
	memset(ram, 0, sizeof(ram));
	memset(guest, 0, sizeof(guest));
	kicks = up_calls = watched = unwatched = 0;
	up_ret = 0;
	up_gives_fds = true;
	up_lock_held = false;
	dom.id = 7;
	dom.nr_vcpus = 2;
	dom.provider = &fake_provider;
	dom.shutdown = -1;
	dom.ram = ram;
	dom.nr_frames = FAKE_FRAMES;
	dom.frame = frames;
	dom.grant_frames = 1;
	for (unsigned i = 0; i < FAKE_RAM; i++)
		frames[PVDOM_MFN_RAM + i].kind = FRAME_RAM;
	pthread_mutex_init(&dom.lock, NULL);
	dom.shared = frame_ptr(&dom, PVDOM_MFN_SHARED_INFO);
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
	the_domain = &dom;
	current = &vcpus[0];
	time_init(&dom, 0);
	return evtchn_init(&dom);
}

static int fake_teardown(void **state)
{
	/* Whatever happened, the broker was never called under the lock. */
	return up_lock_held ? -1 : 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

#endif
