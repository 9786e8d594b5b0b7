/* SPDX-License-Identifier: MIT */
/* A xenstore client for test guests: no threads, no watches, waits without upcalls. */
#ifndef GUEST_STORE_H
#define GUEST_STORE_H

#include "common.h"

/* False if this domain has no xenstore. */
bool store_init(void);
/* The value, terminated; its length, or -1 if there is none or the request failed. */
long store_read(const char *path, char *buf, size_t size);
bool store_write(const char *path, const char *value);
/* Sleeps until an event comes to the port, for a millisecond at most. */
void nap(evtchn_port_t port);
/* ~0 if there is no such number. */
unsigned long store_number(const char *path);

#endif
