/* SPDX-License-Identifier: MIT */
/* The PV clock: system time = base + scaled TSC ticks, both re-published by the hypervisor. */
#include <pv/arch.h>
#include <pv/time.h>

static uint64_t boot_ns;

static uint64_t scale(uint64_t ticks, uint32_t mul, int8_t shift)
{
	if (shift >= 0)
		ticks <<= shift;
	else
		ticks >>= -shift;
	return (uint64_t)((unsigned __int128)ticks * mul >> 32);
}

uint64_t time_ns(void)
{
	/* Of one vCPU from the first word to the last, even if we move on: the clock is the same.
	 */
	const struct vcpu_time_info *t = &vcpu_info_here()->time;
	uint32_t version;
	uint64_t ns;

	/* An odd version is an update in progress, a changed one an update that overtook us. */
	do {
		version = READ_ONCE(t->version) & ~1u;
		barrier();
		ns = t->system_time +
		     scale(rdtsc() - t->tsc_timestamp, t->tsc_to_system_mul, t->tsc_shift);
		barrier();
	} while (READ_ONCE(t->version) != version);
	return ns;
}

uint64_t time_tsc_khz(void)
{
	const struct vcpu_time_info *t = &vcpu_info_here()->time;
	/* mul is ns per tick in 32.32 after the shift. */
	const uint64_t khz = (1000000ull << 32) / t->tsc_to_system_mul;

	return t->tsc_shift < 0 ? khz << -t->tsc_shift : khz >> t->tsc_shift;
}

uint64_t time_since_boot(void)
{
	return time_ns() - boot_ns;
}

uint64_t time_wallclock(void)
{
	uint32_t version;
	uint64_t ns;

	do {
		version = READ_ONCE(pv_shared_info.wc_version) & ~1u;
		barrier();
		ns = pv_shared_info.wc_sec * SEC + pv_shared_info.wc_nsec;
		barrier();
	} while (READ_ONCE(pv_shared_info.wc_version) != version);
	return ns + time_ns();
}

void time_init(void)
{
	boot_ns = time_ns();
}
