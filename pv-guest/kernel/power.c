/* SPDX-License-Identifier: MIT */
/*
 * The toolstack's wishes: it writes "poweroff", "reboot" or "halt" to control/shutdown, and a guest
 * that watches the node clears it, which says that it has understood, and obeys.
 */
#include <pv/thread.h>
#include <pv/xenstore.h>
#include "kernel.h"

#define NODE "control/shutdown"

static void obey(void)
{
	static const struct {
		const char *wish;
		unsigned int reason;
	} wishes[] = {
		{"poweroff", SHUTDOWN_poweroff},
		{"halt", SHUTDOWN_poweroff},
		{"reboot", SHUTDOWN_reboot},
	};
	char wish[32];

	if (xenstore_read(NODE, wish, sizeof(wish)) <= 0)
		return;
	xenstore_write(NODE, "");
	for (unsigned int i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (strcmp(wishes[i].wish, wish))
			continue;
		printf("\npv-guest: the toolstack asks for %s\n", wish);
		shutdown(wishes[i].reason);
	}
}

static void power_thread(void *unused)
{
	static struct watch watch = {.path = NODE, .by = &watch};

	if (xenstore_watch(&watch) < 0)
		return;
	/* These tell the toolstack whom it can ask; some refuse the write, which does not matter.
	 */
	xenstore_write("control/feature-poweroff", "1");
	xenstore_write("control/feature-reboot", "1");
	for (;;) {
		obey();
		xenstore_wait_watch(&watch);
	}
}

void power_init(void)
{
	if (xenstore_available())
		thread_create("power", power_thread, NULL);
}
