/* SPDX-License-Identifier: MIT */
/* A thread's descriptor tables when they are the program's. */
#include <errno.h>
#include <sys/syscall.h>

#include "host-driver/libpavane/internal.h"

int64_t pv_tables_load(const struct pv_tables *t)
{
	struct pvhost_state s;
	long ret;

	if (!pv_self)
		return -EINVAL;
	ret = pv_host_call(SYS_ioctl, pv_self->vcpu, PVHOST_GET_STATE, (long)&s, 0, 0, 0);
	if (ret)
		return ret;
	s.gdt_base = t->gdt;
	s.gdt_limit = t->gdt_limit;
	s.idt_base = t->idt;
	s.idt_limit = t->idt_limit;
	s.tss_base = t->tss;
	s.tss_limit = t->tss_limit;
	s.cs = t->cs;
	s.ss = t->ss;
	s.tr = t->tr;
	s.lstar = t->lstar;
	s.star = t->star;
	s.sfmask = t->sfmask;
	s.cr4 = (s.cr4 | t->cr4) & ~t->cr4_off;
	ret = pv_host_call(SYS_ioctl, pv_self->vcpu, PVHOST_SET_STATE, (long)&s, 0, 0, 0);
	if (!ret)
		ret = pv_host_call(SYS_ioctl, pv_self->vcpu, PVHOST_GET_STATE, (long)&s, 0, 0, 0);
	return ret ? ret : (int64_t)s.cr4;
}
