// SPDX-License-Identifier: GPL-2.0-only
/* The borrowed process of guest.h, and its vCPUs. */
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>

#include "guest.h"

long guest_ioctl(struct guest *g, unsigned int cmd, unsigned long arg)
{
	return g->file->f_op->unlocked_ioctl(g->file, cmd, arg);
}

static int poke(struct guest *g, unsigned long gpa, const void *from, size_t size)
{
	return copy_to_user((void __user *)(g->mem + gpa), from, size) ? -EFAULT : 0;
}

int guest_set_state(struct guest *g, const struct pvhost_state *s)
{
	return poke(g, GUEST_SCRATCH, s, sizeof(*s))
		       ?: guest_ioctl(g, PVHOST_SET_STATE, g->mem + GUEST_SCRATCH);
}

int guest_get_state(struct guest *g, struct pvhost_state *s)
{
	return guest_ioctl(g, PVHOST_GET_STATE, g->mem + GUEST_SCRATCH)
		       ?: copy_from_user(s, (void __user *)(g->mem + GUEST_SCRATCH), sizeof(*s));
}

const struct pvhost_state guest_flat = {
	.cr0 = 1, .cr3 = GUEST_TABLES, .cs = 8, .ss = 16, .tr = 24, .tss_limit = 0x67};

/* The first GiB one to one. */
static int make_tables(struct guest *g)
{
	u64 entry, i;
	int ret;

	entry = (GUEST_TABLES + 0x1000) | 7;
	ret = poke(g, GUEST_TABLES, &entry, 8);
	entry = (GUEST_TABLES + 0x2000) | 7;
	ret = ret ?: poke(g, GUEST_TABLES + 0x1000, &entry, 8);
	for (i = 0; i < 512 && !ret; i++) {
		entry = i << 21 | 0x87;
		ret = poke(g, GUEST_TABLES + 0x2000 + i * 8, &entry, 8);
	}
	return ret;
}

int guest_vcpu(struct guest *g)
{
	const int fd = vcpu_create(g->vm);

	if (fd < 0)
		return fd;
	g->file = fget(fd);
	close_fd(fd);
	g->v = g->file->private_data;
	g->run = g->v->run;
	return guest_set_state(g, &guest_flat);
}

int guest_init(struct kunit *test)
{
	struct guest *g = kunit_kzalloc(test, sizeof(*g), GFP_KERNEL);
	struct pvhost_region r = {.size = GUEST_SIZE};

	test->priv = g;
	if (!g)
		return -ENOMEM;
	/* What is compared before and after is a CPU's own. */
	set_cpus_allowed_ptr(current, cpumask_of(0));
	g->mm = mm_alloc();
	if (!g->mm)
		return -ENOMEM;
	g->mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(g->mm, &current->signal->rlim[RLIMIT_STACK]);
	kthread_use_mm(g->mm);
	g->mem = vm_mmap(NULL, 0, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 0);
	if (IS_ERR_VALUE(g->mem))
		return g->mem;
	r.hva = g->mem;
	g->vm = vm_create();
	if (IS_ERR(g->vm))
		return PTR_ERR(g->vm);
	return vm_region_add(g->vm, &r) ?: make_tables(g) ?: guest_vcpu(g);
}

/* The last descriptor of a vCPU may close after the VM's. */
void guest_exit(struct kunit *test)
{
	struct guest *g = test->priv;

	if (!g)
		return;
	if (!IS_ERR_OR_NULL(g->vm))
		vm_put(g->vm);
	if (g->file)
		__fput_sync(g->file);
	if (g->mm) {
		if (current->mm == g->mm) /* not after an assertion, which ends the thread */
			kthread_unuse_mm(g->mm);
		mmput(g->mm);
	}
	KUNIT_EXPECT_EQ(test, vmx_cpus(), 0);
}

s64 guest_run(struct guest *g)
{
	long ret;

	do {
		/* A kernel thread has no FPU state to go back to. */
		current->flags &= ~PF_KTHREAD;
		ret = guest_ioctl(g, PVHOST_RUN, 0);
		current->flags |= PF_KTHREAD;
	} while (ret == -EINTR);
	return ret ?: g->run->exit_reason;
}

s64 guest_run_code(struct guest *g, const u8 *code, size_t size)
{
	int ret = poke(g, GUEST_CODE, code, size);

	g->run->rip = GUEST_CODE;
	g->run->rsp = GUEST_STACK;
	g->run->rflags = 2;
	return ret ?: guest_run(g);
}
