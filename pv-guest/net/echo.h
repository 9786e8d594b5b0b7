/* SPDX-License-Identifier: MIT */
#ifndef NET_ECHO_H
#define NET_ECHO_H

#include <stdbool.h>
#include <stdint.h>

/* Answers on this port from now on, over TCP and UDP. With net_lock held; false if it is taken. */
bool echo_start(uint16_t port);

#endif
