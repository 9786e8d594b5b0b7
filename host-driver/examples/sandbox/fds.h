/* SPDX-License-Identifier: MIT */
/* The program's descriptors, and the system calls that are about nothing else. */
#ifndef SANDBOX_FDS_H
#define SANDBOX_FDS_H

#include <stdint.h>

void fds_init(void);	  /* standard input, output and error */
int fd_host(uint64_t fd); /* the host's number, or -1 */
/* The lowest free number from `min` for descriptor `host`; -errno passes through. */
long fd_new(int host, uint64_t min);

long own_close(int call, uint64_t *a);
long own_dup(int call, uint64_t *a);
long own_dup2(int call, uint64_t *a);
long own_fcntl(int call, uint64_t *a);
long own_ioctl(int call, uint64_t *a);
long own_poll(int call, uint64_t *a);

#endif
