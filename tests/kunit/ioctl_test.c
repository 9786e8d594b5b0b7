// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: what the device accepts before it does anything, and what is left when the module cannot
 * start. main.c is included, with stand-ins for the rest of the driver and for the process's
 * memory.
 */
#include <kunit/test.h>

#include <linux/err.h>
#include <linux/miscdevice.h>
#include <linux/mm_types.h>
#include <linux/uaccess.h>

#include "../../host-driver/linux/driver.h"

static bool unreadable; /* the next copy faults */

static unsigned long fake_copy(void *to, const void *from, unsigned long n)
{
	if (unreadable)
		return n;
	memcpy(to, from, n);
	return 0;
}

static int fake_register(struct miscdevice *d);
static void fake_deregister(struct miscdevice *d);

#define copy_from_user(to, from, n) fake_copy(to, (__force const void *)(from), n)
#define copy_to_user(to, from, n)   fake_copy((__force void *)(to), from, n)
#define misc_register		    fake_register
#define misc_deregister		    fake_deregister
#include "../../host-driver/linux/main.c"

static struct vm the_vm;
static struct {
	unsigned int added, deleted, vcpus, puts;
	struct pvhost_region last;
	unsigned int devices, vtx, vmcs; /* started and not stopped */
	int create_error, vtx_error, register_error;
} seen;

struct controls vmx;
u32 gpa_bits;

static int fake_register(struct miscdevice *d)
{
	seen.devices += !seen.register_error;
	return seen.register_error;
}

static void fake_deregister(struct miscdevice *d)
{
	seen.devices--;
}

int vtx_init(void)
{
	seen.vtx += !seen.vtx_error;
	return seen.vtx_error;
}

void vtx_exit(void)
{
	seen.vtx--;
}

int vmcs_module_init(void)
{
	seen.vmcs++;
	return 0;
}

void vmcs_module_exit(void)
{
	seen.vmcs--;
}

struct vm *vm_create(void)
{
	return seen.create_error ? ERR_PTR(seen.create_error) : &the_vm;
}

void vm_put(struct vm *vm)
{
	seen.puts++;
}

int vm_region_add(struct vm *vm, const struct pvhost_region *r)
{
	seen.added++;
	seen.last = *r;
	return 0;
}

int vm_region_del(struct vm *vm, const struct pvhost_region *r)
{
	seen.deleted++;
	seen.last = *r;
	return 0;
}

int vcpu_create(struct vm *vm)
{
	seen.vcpus++;
	return 7;
}

static long call(unsigned int cmd, const void *arg)
{
	struct file file = {.private_data = &the_vm};

	return device_fops.unlocked_ioctl(&file, cmd, (unsigned long)arg);
}

static int setup(struct kunit *test)
{
	memset(&seen, 0, sizeof(seen));
	unreadable = false;
	the_vm.mm = current->mm;
	vmx.features = PVHOST_F_VPID;
	gpa_bits = 40;
	return 0;
}

static void info_tells_version_and_limits(struct kunit *test)
{
	struct pvhost_info info, zero = {};

	memset(&info, 0xff, sizeof(info));
	KUNIT_ASSERT_EQ(test, call(PVHOST_INFO, &info), 0);
	KUNIT_EXPECT_EQ(test, info.version, PVHOST_VERSION);
	KUNIT_EXPECT_EQ(test, info.gpa_bits, 40);
	KUNIT_EXPECT_EQ(test, info.features, PVHOST_F_VPID);
	KUNIT_EXPECT_EQ(test, info.max_regions, MAX_REGIONS);
	KUNIT_EXPECT_EQ(test, memcmp(info.reserved, zero.reserved, sizeof(zero.reserved)), 0);
}

static void regions_arrive_as_they_were_given(struct kunit *test)
{
	const struct pvhost_region r = {.gpa = 0x1000, .hva = 0x7000, .size = 0x3000};

	KUNIT_EXPECT_EQ(test, call(PVHOST_ADD_REGION, &r), 0);
	KUNIT_EXPECT_EQ(test, seen.added, 1);
	KUNIT_EXPECT_EQ(test, memcmp(&seen.last, &r, sizeof(r)), 0);
	memset(&seen.last, 0, sizeof(seen.last));
	KUNIT_EXPECT_EQ(test, call(PVHOST_DEL_REGION, &r), 0);
	KUNIT_EXPECT_EQ(test, seen.deleted, 1);
	KUNIT_EXPECT_EQ(test, memcmp(&seen.last, &r, sizeof(r)), 0);
}

static void bad_pointers_change_nothing(struct kunit *test)
{
	struct pvhost_region r = {};

	unreadable = true;
	KUNIT_EXPECT_EQ(test, call(PVHOST_INFO, &r), -EFAULT);
	KUNIT_EXPECT_EQ(test, call(PVHOST_ADD_REGION, &r), -EFAULT);
	KUNIT_EXPECT_EQ(test, call(PVHOST_DEL_REGION, &r), -EFAULT);
	KUNIT_EXPECT_EQ(test, seen.added + seen.deleted, 0);
}

static void a_vcpu_takes_no_argument(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, call(PVHOST_CREATE_VCPU, (void *)1), -EINVAL);
	KUNIT_EXPECT_EQ(test, seen.vcpus, 0);
	KUNIT_EXPECT_EQ(test, call(PVHOST_CREATE_VCPU, NULL), 7);
	KUNIT_EXPECT_EQ(test, seen.vcpus, 1);
}

static void another_process_gets_nothing(struct kunit *test)
{
	static const unsigned int cmds[] = {PVHOST_INFO, PVHOST_ADD_REGION, PVHOST_DEL_REGION,
					    PVHOST_CREATE_VCPU, 0};
	struct mm_struct *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	struct pvhost_info info = {};
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, other);
	the_vm.mm = other;
	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		KUNIT_EXPECT_EQ_MSG(test, call(cmds[i], &info), -EIO, "command %x", cmds[i]);
	KUNIT_EXPECT_EQ(test, info.version, 0);
	KUNIT_EXPECT_EQ(test, seen.added + seen.deleted + seen.vcpus, 0);
}

/* A command's number has the size and direction of its argument in it. */
static void unknown_commands_are_not_ours(struct kunit *test)
{
	struct pvhost_region r = {};
	unsigned int bit;

	KUNIT_EXPECT_EQ(test, call(0, &r), -ENOTTY);
	KUNIT_EXPECT_EQ(test, call(~0U, &r), -ENOTTY);
	KUNIT_EXPECT_EQ(test, call(PVHOST_RUN, NULL), -ENOTTY); /* a vCPU's */
	KUNIT_EXPECT_EQ(test, call(PVHOST_SET_STATE, &r), -ENOTTY);
	for (bit = 3; bit < 32; bit++)
		KUNIT_EXPECT_EQ_MSG(test, call(PVHOST_ADD_REGION ^ 1U << bit, &r), -ENOTTY,
				    "bit %u", bit);
	KUNIT_EXPECT_EQ(test, seen.added + seen.deleted + seen.vcpus, 0);
}

static void open_gives_a_vm_or_says_why_not(struct kunit *test)
{
	struct file file = {};

	seen.create_error = -EBUSY;
	KUNIT_EXPECT_EQ(test, device_fops.open(NULL, &file), -EBUSY);
	seen.create_error = 0;
	KUNIT_EXPECT_EQ(test, device_fops.open(NULL, &file), 0);
	KUNIT_EXPECT_PTR_EQ(test, file.private_data, (void *)&the_vm);
	KUNIT_EXPECT_EQ(test, device_fops.release(NULL, &file), 0);
	KUNIT_EXPECT_EQ(test, seen.puts, 1);
}

static void __ref a_module_that_cannot_start_leaves_nothing(struct kunit *test)
{
	seen.vtx_error = -ENODEV;
	KUNIT_EXPECT_EQ(test, pvhost_init(), -ENODEV);
	KUNIT_EXPECT_EQ(test, seen.vtx + seen.vmcs + seen.devices, 0);
	seen.vtx_error = 0;
	seen.register_error = -EBUSY;
	KUNIT_EXPECT_EQ(test, pvhost_init(), -EBUSY);
	KUNIT_EXPECT_EQ(test, seen.vtx + seen.vmcs + seen.devices, 0);
	seen.register_error = 0;
	KUNIT_EXPECT_EQ(test, pvhost_init(), 0);
	KUNIT_EXPECT_EQ(test, seen.vtx + seen.vmcs + seen.devices, 3);
	pvhost_exit_module();
	KUNIT_EXPECT_EQ(test, seen.vtx + seen.vmcs + seen.devices, 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(info_tells_version_and_limits),
	KUNIT_CASE(regions_arrive_as_they_were_given),
	KUNIT_CASE(bad_pointers_change_nothing),
	KUNIT_CASE(a_vcpu_takes_no_argument),
	KUNIT_CASE(another_process_gets_nothing),
	KUNIT_CASE(unknown_commands_are_not_ours),
	KUNIT_CASE(open_gives_a_vm_or_says_why_not),
	KUNIT_CASE(a_module_that_cannot_start_leaves_nothing),
	{},
};

static struct kunit_suite suite = {.name = "ioctl", .test_cases = cases, .init = setup};
kunit_test_init_section_suite(suite);
