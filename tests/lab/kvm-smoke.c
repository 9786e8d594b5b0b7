// SPDX-License-Identifier: MIT
// Does the lab's machine have a VT-x that Debian's own KVM is content with?
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/lab/kvm.h"

static int passed, failed;

static void check(bool ok, const char *name, const char *fmt, long value)
{
	if (ok) {
		printf("ok %s\n", name);
		passed++;
		return;
	}
	printf("not ok %s: ", name);
	printf(fmt, value);
	putchar('\n');
	failed++;
}

static bool cpu_has(const char *flag)
{
	char line[8192];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "r");

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5))
			continue;
		for (char *word = strtok(line, " \t\n"); word && !found;
		     word = strtok(NULL, " \t\n"))
			found = !strcmp(word, flag);
	}
	if (f)
		fclose(f);
	return found;
}

int main(void)
{
	// mov $42, %al; out %al, $0x10; hlt
	static const uint8_t code[] = {0xb0, 42, 0xe6, 0x10, 0xf4};
	struct kvm_guest g;
	const char *what;
	int reason;

	check(cpu_has("vmx"), "cpu-vmx", "/proc/cpuinfo does not list it", 0);
	what = kvm_guest_open(&g, code, sizeof(code));
	if (!what)
		what = kvm_guest_start(&g, 0);
	if (what) {
		printf("not ok kvm-open: %s: %s\n", what, strerror(errno));
		failed++;
	} else {
		reason = kvm_guest_run(&g);
		check(reason == KVM_EXIT_IO && g.run->io.port == 0x10 &&
			      ((uint8_t *)g.run)[g.run->io.data_offset] == 42,
		      "kvm-out", "exit reason %ld", reason);
		reason = kvm_guest_run(&g);
		check(reason == KVM_EXIT_HLT, "kvm-hlt", "exit reason %ld", reason);
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
