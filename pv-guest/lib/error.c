/* SPDX-License-Identifier: MIT */
/* What the numbers of Xen's errno.h mean to a person. */
#include <pv/arch.h>
#include <pv/disk.h>
#include <pv/lib.h>

static const struct {
	long number;
	const char *words;
} errors[] = {
	{XEN_EPERM, "not permitted"},
	{XEN_ENOENT, "there is none"},
	{XEN_EIO, "input or output error"},
	{XEN_E2BIG, "too much"},
	{XEN_ENOMEM, "no memory"},
	{XEN_EBUSY, "in use"},
	{XEN_EEXIST, "is there already"},
	{XEN_ENODEV, "no such device"},
	{XEN_EINVAL, "not valid"},
	{XEN_EROFS, "read-only"},
	{XEN_EOPNOTSUPP, "not offered by the backend"},
};

const char *error_words(long number)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].number == number)
			return errors[i].words;
	return "see Xen's errno.h";
}
