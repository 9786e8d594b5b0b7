/* SPDX-License-Identifier: MIT */
#ifndef PAVANE_IMAGE_H
#define PAVANE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_HEAD 1024 /* bytes that image_problem() wants to see, if the file has them */

/* What is wrong with a kernel file of `size` bytes by its first n, or NULL. Any bytes are fine. */
const char *image_problem(const unsigned char *head, size_t n, uint64_t size);

#endif
