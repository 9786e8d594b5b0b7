/* SPDX-License-Identifier: MIT */
/* A thread's way in and out, and what it has of its own inside. */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-driver/libpavane/internal.h"

#define HOST_STACK_SIZE (64 * 1024)
#define MAX_THREADS	1024

_Static_assert(sizeof(struct thread) == THREAD_SIZE, "struct thread");
#define ASSERT_AT(offset, member) \
	_Static_assert(offsetof(struct thread, member) == (offset), #member)
ASSERT_AT(T_ENTRY, entry);
ASSERT_AT(T_SCRATCH, scratch);
ASSERT_AT(T_KERNEL_RSP, kernel_rsp);
ASSERT_AT(T_FS, fs);
ASSERT_AT(T_USER_FS, user_fs);
ASSERT_AT(T_IN_USER, in_user);
ASSERT_AT(T_STOP, stop);
ASSERT_AT(T_ENTRY_TOP, ist);
_Static_assert(sizeof(struct pv_frame) == F_SIZE, "struct pv_frame");
_Static_assert(offsetof(struct pv_frame, rax) == F_RAX, "rax");
_Static_assert(offsetof(struct pv_frame, vector) == F_VECTOR, "vector");
_Static_assert(offsetof(struct pv_frame, cs) == F_CS, "cs");

__thread struct thread *pv_self;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread *threads[MAX_THREADS];
static int vm = -1;
static bool ready; /* process_init is done */

/* A forked child has none of its parent's: it is an ordinary process. */
static void in_child(void)
{
	for (unsigned i = 0; i < MAX_THREADS && threads[i]; i++) {
		if (threads[i]->used)
			close(threads[i]->vcpu);
		threads[i]->used = false;
	}
	close(vm);
	vm = -1;
	ready = false;
	pv_self = NULL;
	pthread_mutex_init(&lock, NULL);
}

int pv_open(void)
{
	if (vm < 0)
		vm = open("/dev/pvhost", O_RDWR | O_CLOEXEC);
	return vm < 0 ? -errno : 0;
}

static int process_init(void)
{
	struct pvhost_info info;
	int ret;

	if (ready)
		return 0;
	ret = pv_open();
	if (ret)
		return ret;
	if (ioctl(vm, PVHOST_INFO, &info) || info.version != PVHOST_VERSION) {
		ret = -EPROTO;
	} else {
		ret = paging_init(vm, info.gpa_bits);
		if (!ret)
			ret = -pthread_atfork(NULL, NULL, in_child);
	}
	if (ret) {
		close(vm);
		vm = -1;
		return ret;
	}
	traps_init();
	vdso_replace();
	ready = true;
	return 0;
}

/* With the lock. A thread that ended inside left its own behind, on which it stood. */
static struct thread *thread_find(void)
{
	struct thread *t;
	uint8_t *mem;
	unsigned i;

	for (i = 0; i < MAX_THREADS && threads[i]; i++)
		if (!threads[i]->used ||
		    (syscall(SYS_tgkill, getpid(), threads[i]->tid, 0) && errno == ESRCH))
			return threads[i];
	if (i == MAX_THREADS)
		return NULL;
	mem = mmap(NULL, 2 * THREAD_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	if (mem == MAP_FAILED)
		return NULL;
	t = (struct thread *)(((uintptr_t)mem + THREAD_SIZE - 1) & -THREAD_SIZE);
	t->host_stack = mmap(NULL, HOST_STACK_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (t->host_stack == MAP_FAILED) {
		munmap(mem, 2 * THREAD_SIZE);
		return NULL;
	}
	threads[i] = t;
	return t;
}

/*
 * syscall leaves no register to find the thread by, and GS is ring 3's to load: so each vCPU has
 * its own entry point, which knows by its address.
 */
static void stub_make(struct thread *t)
{
	static const uint8_t code[] = {
		0x48, 0x89, 0x25, 0, 0, 0, 0, /* mov %rsp, scratch(%rip) */
		0x48, 0x8d, 0x25, 0, 0, 0, 0, /* lea T_ENTRY_TOP(%rip), %rsp */
		0xff, 0x25, 0,	  0, 0, 0,    /* jmp *entry(%rip) */
	};
	const int32_t scratch = T_SCRATCH - 7, top = T_ENTRY_TOP - 14, entry = T_ENTRY - 20;

	memcpy(t->stub, code, sizeof(code));
	memcpy(t->stub + 3, &scratch, 4);
	memcpy(t->stub + 10, &top, 4);
	memcpy(t->stub + 16, &entry, 4);
	t->entry = pv_syscall_entry;
}

static void segments_make(struct thread *t)
{
	const uint64_t tss = (uint64_t)t->tss, ist = (uint64_t)t + THREAD_SIZE;
	const uint16_t no_ports = sizeof(t->tss);

	t->gdt[SEL_CODE / 8] = 0x00af9b000000ffff;
	t->gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
	t->gdt[SEL_USER_BASE / 8] = 0; /* 32-bit code: none */
	t->gdt[SEL_USER_DATA / 8] = 0x00cff3000000ffff;
	t->gdt[SEL_USER_CODE / 8] = 0x00affb000000ffff;
	t->gdt[SEL_TSS / 8] = (sizeof(t->tss) - 1) | (tss & 0xffffff) << 16 | 0x8bul << 40 |
			      (tss >> 24 & 0xff) << 56;
	t->gdt[SEL_TSS / 8 + 1] = tss >> 32;
	memset(t->tss, 0, sizeof(t->tss));
	memcpy(t->tss + 4, &ist, 8);	/* rsp0 */
	memcpy(t->tss + 0x24, &ist, 8); /* ist1, of every vector */
	memcpy(t->tss + 0x66, &no_ports, 2);
}

static int state_set(struct thread *t)
{
	struct pvhost_state s = {
		.cr0 = 1 << 16 | 1 << 1, /* WP, MP */
		.cr4 = 1 << 16 | 1 << 7, /* FSGSBASE, PGE */
		.cr3 = paging_cr3(pv_root_default()),
		.gdt_base = (uint64_t)t->gdt,
		.gdt_limit = sizeof(t->gdt) - 1,
		.idt_base = (uint64_t)pv_idt,
		.idt_limit = sizeof(pv_idt) - 1,
		.tss_base = (uint64_t)t->tss,
		.tss_limit = sizeof(t->tss) - 1,
		.tr = SEL_TSS,
		.cs = SEL_CODE,
		.ss = SEL_DATA,
		.fs_base = t->fs,
		.lstar = (uint64_t)t->stub,
		.star = (uint64_t)SEL_USER_BASE << 48 | (uint64_t)SEL_CODE << 32,
		.sfmask = 0x47700, /* AC NT IOPL DF IF TF */
	};

	return ioctl(t->vcpu, PVHOST_SET_STATE, &s) ? -errno : 0;
}

static void thread_drop(struct thread *t)
{
	if (t->run != MAP_FAILED)
		munmap(t->run, 4096);
	close(t->vcpu);
	t->used = false;
}

static int thread_make(struct thread **out)
{
	struct thread *t;
	int ret;

	*out = NULL;
	pthread_mutex_lock(&lock);
	ret = process_init();
	t = ret ? NULL : thread_find();
	if (t) {
		if (t->used) /* of a thread that is gone */
			thread_drop(t);
		t->used = true;
		t->tid = syscall(SYS_gettid);
	}
	pthread_mutex_unlock(&lock);
	if (!t)
		return ret ?: -ENOMEM;
	t->vcpu = ioctl(vm, PVHOST_CREATE_VCPU, 0);
	if (t->vcpu < 0) {
		ret = -errno;
		t->used = false;
		return ret;
	}
	t->run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, t->vcpu, 0);
	if (t->run == MAP_FAILED) {
		thread_drop(t);
		return -ENOMEM;
	}
	t->root = pv_root_default();
	t->timer = -1;
	t->in_user = 0;
	memset(t->pending, 0, sizeof(t->pending));
	syscall(SYS_arch_prctl, ARCH_GET_FS, &t->fs);
	paging_thread(t);
	stub_make(t);
	segments_make(t);
	ret = state_set(t);
	if (ret)
		thread_drop(t);
	*out = t;
	return ret;
}

int pv_enter(void)
{
	struct thread *t;
	int ret;

	if (pv_self)
		return -EALREADY;
	ret = thread_make(&t);
	if (ret)
		return ret;
	t->run->rflags = 0x202;
	pv_self = t;
	pv_go_inside(t, t->run, t->host_stack + HOST_STACK_SIZE);
	return 0;
}

void pv_leave(void)
{
	struct thread *t = pv_self;

	if (!t)
		return;
	timer_drop(t);
	pv_raw(CALL_LEAVE, 0, 0, 0, 0, 0, 0);
	pv_self = NULL;
	thread_drop(t);
}

bool pv_inside(void)
{
	return pv_self;
}

void pv_user_run_asm(struct pv_frame *regs, struct thread *t);

void pv_user_run(struct pv_frame *regs)
{
	regs->cs = SEL_USER_CODE;
	regs->ss = SEL_USER_DATA;
	regs->rflags = (regs->rflags & 0x240dd5) | 0x202;
	pv_user_run_asm(regs, pv_self);
}

void pv_user_stop(void)
{
	pv_self->stop = 1;
}

void pv_exits(uint64_t *all, uint64_t *interrupts)
{
	const volatile struct pvhost_run *run = pv_self ? pv_self->run : NULL;

	*all = *interrupts = 0;
	if (!run)
		return;
	do { /* an interrupt between the two is in neither, or in both */
		*all = run->exits;
		*interrupts = run->interrupts;
	} while (run->exits != *all);
}

uint64_t pv_user_fs(void)
{
	return pv_self->user_fs;
}

void pv_user_set_fs(uint64_t base)
{
	pv_self->user_fs = base;
}
