/* SPDX-License-Identifier: MIT */
/*
 * Runs cases by their seeds; one that ends differently is cut to the instructions it takes and
 * printed. Each run of cases, and each attempt to cut one, is a child of its own, so that a crash
 * is a difference like any other.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host-driver/providers/process/translate/upper.h"
#include "host-driver/providers/process/translate/windows.h"
#include "tests/translate/dfuzz.h"

#define VECTOR_PF 14
#define VECTOR_MF 16

enum verdict { SAME, SKIPPED, STEP_DIFFERS, DIFFERS, HANGS, FLAKY, CRASHES, VERDICTS };
static const char *const verdict_name[] = {
	"same",
	"skipped",
	"tr_step differs from the CPU",
	"the translation differs from the CPU",
	"hangs",
	"the CPU itself differs from run to run",
	"crashes",
};

static struct options {
	bool step_only, native, upper, window, reach, confine, smp, kicks, verbose, forms, print,
		spoil;
	uint64_t seed;
	bool one;
	unsigned seconds, keep;
} opt = {.seconds = 10, .keep = 10, .seed = 1};

/* What children tell their parent. */
static struct shared {
	uint64_t at; /* the case that runs, by number */
	uint64_t done, skipped, steps, faults, kicks, emptied;
	char why[64];
} * shared;

static __thread struct state first, native, native2, stepped, translated;
static __thread struct testcase testcase;
static __thread struct trace trace;
static time_t deadline;

/* For the test of this test. */
static void spoil(struct state *s)
{
	for (unsigned i = 0; i < trace.n; i++) {
		const uint64_t at = trace.rip[i] - CODE_VA - va_delta;

		for (unsigned k = 0; k < 4 && at < 2 * PAGE - 8; k++)
			if (s->mem[0][at + k] == 0x0f && s->mem[0][at + k + 1] == 0xc1)
				s->gpr[RAX] ^= 1UL << 40;
	}
}

static bool has_native(void)
{
	return !opt.upper && !opt.smp;
}

/* What the others are compared with. */
static bool reference(const struct testcase *c)
{
	if (has_native())
		return native_run(c, &native);
	memcpy(&native, &stepped, sizeof(native));
	return true;
}

/* A kick anywhere changes nothing. */
static enum verdict kicks_differ(const struct testcase *c, bool say)
{
	struct rng r = {c->seed};

	for (unsigned n = opt.kicks ? 20 : c->seed % 16 == 0 && !opt.smp; n; n--) {
		if (!guest_kicked(c, &translated, 1 + below(&r, below(&r, 2) ? 40 : 300)))
			return HANGS;
		shared->kicks = kicks;
		if (state_differs(c, &trace, &native, &translated, "kicked", say))
			return DIFFERS;
	}
	return SAME;
}

/*
 * Does this process have memory of its own where the upper half's mirror has that address? A guest
 * kernel that reads there finds it (docs/translator.md).
 */
static bool own_memory(uint64_t va)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uint64_t from, to, host = va + UPPER_BASE;
	char line[512], rights[5];
	bool own = false;

	while (f && !own && fgets(line, sizeof(line), f))
		own = sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 && host >= from &&
		      host < to && rights[0] == 'r' && !strstr(line, "/memfd:");
	if (f)
		fclose(f);
	return own;
}

static enum verdict judge_mapped(const struct testcase *c, bool say)
{
	trace = (struct trace){};
	if (opt.native) {
		if (!native_run(c, &native) || !native_run(c, &native2))
			return SKIPPED;
		return state_differs(c, &trace, &native, &native2, "again", say) ? FLAKY : SAME;
	}
	if (!guest_step(c, &stepped, &trace) || !reference(c)) {
		snprintf(shared->why, sizeof(shared->why), "%s", trace.why ? trace.why : "endless");
		return SKIPPED;
	}
	if (opt.window && native.vector == VECTOR_PF && native.cr2 >> WINDOW_BITS &&
	    !(native.cr2 >> 47)) {
		snprintf(shared->why, sizeof(shared->why), "an address like another");
		return SKIPPED;
	}
	if (opt.upper && native.vector == VECTOR_PF && own_memory(native.cr2)) {
		snprintf(shared->why, sizeof(shared->why), "memory of this process");
		return SKIPPED;
	}
	shared->emptied = guest_emptied();
	shared->steps += trace.n;
	if (opt.spoil)
		spoil(&stepped);
	shared->faults += native.vector != NO_VECTOR;
	if (state_differs(c, &trace, &native, &stepped, "stepped", false)) {
		native_run(c, &native2);
		if (state_differs(c, &trace, &native, &native2, "again", false))
			return FLAKY;
		state_differs(c, &trace, &native, &stepped, "stepped", say);
		return STEP_DIFFERS;
	}
	if (opt.step_only)
		return SAME;
	/* Twice: untranslated at first, then with all that the first time left. */
	for (unsigned k = 0; k < 2; k++) {
		if (!guest_translate(c, &translated, k == 0))
			return HANGS;
		if (!has_native() && native.vector == VECTOR_PF && translated.vector == VECTOR_MF) {
			snprintf(shared->why, sizeof(shared->why), "#MF or a page fault");
			return SKIPPED; /* a CPU has the former first, as a window does */
		}
		if (state_differs(c, &trace, &native, &translated, k ? "warm" : "cold", say))
			return DIFFERS;
	}
	return kicks_differ(c, say);
}

static enum verdict judge(const struct testcase *c, bool say)
{
	struct rng r = {~c->seed};
	const bool change = c->seed % 8 == 3 && !opt.forms;
	enum verdict v;

	if (change)
		pages_change(&r, has_native());
	v = judge_mapped(c, say);
	if (change)
		pages_restore(has_native());
	return v;
}

/* Cases by number: seeds, or forms with a few states each. */
#define STATES_PER_FORM 3
static bool make(struct testcase *c, uint64_t number)
{
	bool made = true;

	if (opt.forms)
		made = gen_form(c, &first, number / STATES_PER_FORM,
				opt.seed + number % STATES_PER_FORM);
	else
		gen_case(c, &first, number);
	c->user |= opt.window;
	return made;
}

static bool more(uint64_t number)
{
	if (opt.forms)
		return number < harvest_count() * STATES_PER_FORM;
	return opt.one ? number == opt.seed : time(NULL) < deadline;
}

static void child_init(void)
{
	native_prepare(); /* first: its places are taken before the translator's windows are */
	guest_init(has_native());
}

/* From a number on, to the first difference, which is the exit status. */
static void run_each(uint64_t number, unsigned stride)
{
	for (; more(number); number += stride) {
		enum verdict v;

		if (!make(&testcase, number))
			continue;
		if (stride == 1)
			shared->at = number;
		if (opt.verbose)
			printf("%llu\n", (unsigned long long)number), fflush(stdout);
		v = judge(&testcase, false);
		__atomic_fetch_add(v == SKIPPED || v == FLAKY ? &shared->skipped : &shared->done, 1,
				   __ATOMIC_RELAXED);
		if (v > SKIPPED && (v != FLAKY || opt.native)) {
			shared->at = number;
			_exit(v);
		}
	}
}

/* The other vCPU, with cases of its own. */
static void *second(void *number)
{
	native_thread_prepare();
	guest_thread_init(1);
	run_each(*(uint64_t *)number + 1, 2);
	return NULL;
}

static _Noreturn void run_cases(uint64_t number)
{
	pthread_t other;

	guest_alone = !opt.smp;
	child_init();
	if (opt.smp && pthread_create(&other, NULL, second, &number))
		_exit(2);
	run_each(number, opt.smp ? 2 : 1);
	if (opt.smp)
		pthread_join(other, NULL);
	_exit(SAME);
}

static enum verdict wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("translate: child");
		exit(2);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) < VERDICTS ? WEXITSTATUS(status) : CRASHES;
}

static void print_end(void)
{
	if (native.vector == NO_VECTOR)
		printf("    it comes to its end");
	else
		printf("    vector %d, error %x, cr2 %llx, at %llx", native.vector, native.error,
		       (unsigned long long)native.cr2, (unsigned long long)native.rip);
	printf(" after %u instructions\n", trace.n);
}

/* A case on its own; its verdict. */
static enum verdict attempt(const struct testcase *c, bool say)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		enum verdict v;

		if (!say && !freopen("/dev/null", "w", stderr))
			_exit(2);
		child_init();
		v = judge(c, say);
		if (say)
			print_end();
		fflush(stdout);
		_exit(v);
	}
	return wait_for(pid);
}

static void shrink(struct testcase *c, enum verdict v)
{
	for (bool again = true; again;) {
		again = false;
		for (unsigned i = 0; i < c->n && c->n > 1; i++) {
			struct testcase less = *c;

			case_remove(&less, i);
			if (!case_layout(&less) || attempt(&less, false) != v)
				continue;
			*c = less;
			again = true;
			i--;
		}
		for (unsigned i = 0; i < c->n; i++) {
			struct testcase less = *c;

			less.item[i].hop = false;
			if (c->item[i].hop && case_layout(&less) && attempt(&less, false) == v)
				*c = less;
		}
	}
	case_layout(c);
}

static void print_start(const struct testcase *c)
{
	static const char *const name[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					   "r8",  "r9",	 "r10", "r11", "r12", "r13", "r14", "r15"};

	for (unsigned i = 0; i < NR_GPR; i++)
		printf("%s%-3s %016llx", i % 4 ? "  " : "    ", name[i],
		       (unsigned long long)c->first->gpr[i]),
			printf("%s", i % 4 == 3 ? "\n" : "");
	printf("    flags %llx, fs %llx, gs %llx\n", (unsigned long long)c->first->rflags,
	       (unsigned long long)c->first->fs, (unsigned long long)c->first->gs);
}

static void report(uint64_t number, enum verdict v)
{
	enum verdict alone;

	make(&testcase, number);
	printf("not ok %s %llu: %s\n", opt.forms ? "form" : "seed", (unsigned long long)number,
	       verdict_name[v]);
	alone = attempt(&testcase, false);
	if (alone != v)
		printf("    (alone it is: %s)\n", verdict_name[alone]);
	else if (!opt.forms)
		shrink(&testcase, v);
	print_start(&testcase);
	case_print(&testcase);
	if (alone == v)
		attempt(&testcase, true);
	fflush(stdout);
}

static void usage(FILE *out)
{
	fputs("usage: fuzz [options] [FILE...]\n"
	      "Runs random x86-64 instructions on the CPU, by tr_step() and by the translator, and\n"
	      "compares all that they leave. FILEs (ELF, bzImage) give instructions to mutate.\n"
	      "  --time S      for S seconds (10)\n"
	      "  --seed N      start from case N (1); what is printed names its case\n"
	      "  --one         that case alone\n"
	      "  --forms       instead, each form of instruction in the FILEs, alone\n"
	      "  --step-only   the CPU and tr_step() only\n"
	      "  --native      the CPU and itself: what differs is the tests' own fault\n"
	      "  --print       print case N, and run nothing\n"
	      "  --upper       in the upper half: tr_step() and the translator only\n"
	      "  --window      in user mode, its memory in a window\n"
	      "  --reach       instead, tries to reach this process' memory out of one\n"
	      "  --kicks       20 times each, with a kick before any of the host's instructions\n"
	      "  --smp         on two vCPUs at once: tr_step() and the translator only\n"
	      "  --confine     instead, reads what is made of user code for a window: does it stay there?\n"
	      "  --spoil       take every xadd to leave a wrong rax in tr_step(); with --reach, mask nothing\n"
	      "  --keep N      end after N differences (10)\n"
	      "  --verbose     name each case before it runs\n",
	      out);
}

static void options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"time", 1, NULL, 't'},	 {"seed", 1, NULL, 's'},    {"step-only", 0, NULL, 'S'},
		{"forms", 0, NULL, 'f'}, {"keep", 1, NULL, 'k'},    {"verbose", 0, NULL, 'v'},
		{"help", 0, NULL, 'h'},	 {"one", 0, NULL, 'o'},	    {"native", 0, NULL, 'n'},
		{"upper", 0, NULL, 'u'}, {"kicks", 0, NULL, 'K'},   {"smp", 0, NULL, 'P'},
		{"spoil", 0, NULL, 'x'}, {"print", 0, NULL, 'p'},   {"window", 0, NULL, 'w'},
		{"reach", 0, NULL, 'R'}, {"confine", 0, NULL, 'c'}, {},
	};
	int o;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (o) {
		case 't': opt.seconds = strtoul(optarg, NULL, 0); break;
		case 's': opt.seed = strtoull(optarg, NULL, 0); break;
		case 'S': opt.step_only = true; break;
		case 'f': opt.forms = true; break;
		case 'k': opt.keep = strtoul(optarg, NULL, 0); break;
		case 'v': opt.verbose = true; break;
		case 'P': opt.smp = true; break;
		case 'K': opt.kicks = true; break;
		case 'u':
			opt.upper = true;
			va_delta = TO_UPPER;
			break;
		case 'w': opt.window = !setenv("PAVANE_TIERS", "window", 1); break;
		case 'R': opt.window = opt.reach = !setenv("PAVANE_TIERS", "window", 1); break;
		case 'c': opt.window = opt.confine = !setenv("PAVANE_TIERS", "window", 0); break;
		case 'n': opt.native = true; break;
		case 'p': opt.print = true; break;
		case 'x': opt.spoil = true; break;
		case 'o': opt.one = true; break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	for (; optind < argc; optind++)
		if (harvest_file(argv[optind]) < 0) {
			fprintf(stderr, "fuzz: %s: no code that can be read\n", argv[optind]);
			exit(2);
		}
}

int main(int argc, char **argv)
{
	uint64_t number;
	unsigned failed = 0;

	upper_layout(argv);
	options(argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED) {
		perror("translate");
		return 2;
	}
	case_base_image();
	if (opt.reach) {
		child_init();
		if (opt.spoil)
			guest_unmask();
		return !reach_nothing();
	}
	if (opt.confine) {
		child_init();
		return !confined(opt.seed, opt.seconds);
	}
	if (opt.print) {
		if (!make(&testcase, opt.seed))
			return 1;
		print_start(&testcase);
		case_print(&testcase);
		return 0;
	}
	deadline = time(NULL) + opt.seconds;
	for (number = opt.forms ? 0 : opt.seed; more(number) && failed < opt.keep;) {
		pid_t pid;
		enum verdict v;

		fflush(stdout);
		pid = fork();
		if (!pid)
			run_cases(number);
		v = wait_for(pid);
		if (v == SAME)
			break;
		number = shared->at;
		report(number, v);
		failed++;
		number++;
	}
	printf("# %llu cases, %llu instructions, %llu ended by a fault, %llu kicks, cache emptied %llu "
	       "times; %llu not comparable (last: %s); %u forms known\n",
	       (unsigned long long)shared->done, (unsigned long long)shared->steps,
	       (unsigned long long)shared->faults, (unsigned long long)shared->kicks,
	       (unsigned long long)shared->emptied, (unsigned long long)shared->skipped,
	       shared->why, harvest_count());
	printf("%s, %u differ\n", failed ? "not ok" : "ok", failed);
	return failed != 0;
}
