/* SPDX-License-Identifier: MIT */
/* The shell's commands of the network. */
#ifndef NET_TOOLS_H
#define NET_TOOLS_H

#include <stddef.h>
#include <stdint.h>

/* Continues a sum, which begins as 0. */
uint32_t crc32(uint32_t crc, const void *data, size_t n);

void net_command(int argc, char **argv);
void dhcp_command(int argc, char **argv);
void ping_command(int argc, char **argv);
void tcp_command(int argc, char **argv);
/* Against bench-net (tests/bench/net.c); so many megabytes each way. */
void net_bench(const char *host, const char *port, unsigned long megabytes);
void net_filter(const char *name);

#endif
