/* SPDX-License-Identifier: MIT */
/*
 * Eight loops that live on their memory, a mebibyte or a part of it that a pass of about a
 * millisecond gets through. What each comes to is the same everywhere.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#include "tests/bench/linux/bench.h"

#define ARENA (1 << 20)
#define WORDS (ARENA / 8)

static uint64_t *arena;

static void fill_words(unsigned many)
{
	for (unsigned i = 0; i < many; i++)
		arena[i] = mix(i + 1);
}

static void fill(void)
{
	fill_words(WORDS);
}

/* ---- chase: a load whose address is the last one's value ---- */

/* One cycle through all words (Sattolo's). */
static void chase_set(void)
{
	for (unsigned i = 0; i < WORDS; i++)
		arena[i] = i;
	for (unsigned i = WORDS - 1; i > 0; i--) {
		const unsigned j = mix(i) % i;
		const uint64_t t = arena[i];

		arena[i] = arena[j];
		arena[j] = t;
	}
}

static uint64_t chase(void)
{
	uint64_t at = 0, sum = 0;

	for (unsigned i = 0; i < WORDS; i++) {
		at = arena[at];
		sum += at ^ i;
	}
	return sum;
}

/* ---- hash: open addressing, half full ---- */

static uint64_t hash(void)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < WORDS; i++)
		arena[i] = 0;
	for (uint64_t key = 1; key <= WORDS / 2; key++) {
		uint64_t at = mix(key) % WORDS;

		while (arena[at])
			at = (at + 1) % WORDS;
		arena[at] = key;
	}
	for (uint64_t key = 1; key <= WORDS; key++) {
		uint64_t at = mix(key) % WORDS;

		while (arena[at] && arena[at] != key)
			at = (at + 1) % WORDS;
		found += arena[at] == key ? at : 1;
	}
	return found;
}

/* ---- qsort: of 128 KiB ---- */

#define SORTED (WORDS / 8)

static void sort(uint64_t *low, uint64_t *high)
{
	while (low < high) {
		const uint64_t pivot = low[(high - low) / 2];
		uint64_t *i = low - 1, *j = high + 1, t;

		for (;;) {
			while (*++i < pivot)
				;
			while (*--j > pivot)
				;
			if (i >= j)
				break;
			t = *i;
			*i = *j;
			*j = t;
		}
		sort(low, j);
		low = j + 1;
	}
}

static uint64_t qsort_words(void)
{
	uint64_t sum = 0;

	fill_words(SORTED);
	sort(arena, arena + SORTED - 1);
	for (unsigned i = 0; i < SORTED; i++)
		sum = sum * 31 + arena[i];
	return sum;
}

/* ---- tree: binary, of nodes in 256 KiB ---- */

struct node {
	struct node *child[2];
	uint64_t key, value;
};

static uint64_t tree(void)
{
	struct node *nodes = (struct node *)arena, *root = NULL;
	const unsigned many = ARENA / 4 / sizeof(*nodes);
	uint64_t depth = 0;

	for (unsigned i = 0; i < many; i++) {
		struct node **at = &root;

		nodes[i] = (struct node){.key = mix(i + 1), .value = i};
		while (*at)
			at = &(*at)->child[nodes[i].key > (*at)->key];
		*at = &nodes[i];
	}
	for (unsigned i = 0; i < many; i++) {
		const uint64_t key = mix(i + 1);

		for (struct node *n = root; n->key != key; n = n->child[key > n->key])
			depth++;
	}
	return depth;
}

/* ---- lz: a compressor's search for what was there before ---- */

#define LZ_IN	(ARENA / 2)
#define LZ_HEAD (1 << 14)

static void lz_set(void)
{
	uint8_t *in = (uint8_t *)arena;

	for (unsigned i = 0; i < LZ_IN; i++)
		in[i] = "etaoin shrdlu cm"[mix(mix(i / 7) % 500 + i % 7) % 16];
}

static uint32_t word_at(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t lz(void)
{
	const uint8_t *in = (const uint8_t *)arena, *end = in + LZ_IN - 8, *p = in;
	uint32_t *head = (uint32_t *)(in + LZ_IN);
	uint8_t *const out = (uint8_t *)(head + LZ_HEAD), *o = out;

	for (unsigned i = 0; i < LZ_HEAD; i++)
		head[i] = 0;
	while (p < end) {
		const uint32_t h = word_at(p) * 2654435761u >> 18;
		const uint8_t *match = in + head[h];
		unsigned same = 0;

		head[h] = p - in;
		if (match < p)
			while (same < 255 && p + same < end && match[same] == p[same])
				same++;
		if (same < 4) {
			*o++ = *p++;
			continue;
		}
		*o++ = same;
		*o++ = (p - match) & 0xff;
		*o++ = (p - match) >> 8;
		p += same;
	}
	return (uint64_t)(o - out) << 32 | mix(out[0] | out[(o - out) / 2] << 8);
}

/* ---- sum ---- */

static uint64_t sum(void)
{
	uint64_t sum = 0;

	for (unsigned pass = 0; pass < 4; pass++)
		for (unsigned i = 0; i < WORDS; i++)
			sum += arena[i];
	return sum;
}

/* ---- str: lengths, copies and comparisons, a byte at a time ---- */

#define STRING 64

static void str_set(void)
{
	char *s = (char *)arena;

	for (unsigned i = 0; i < ARENA; i++)
		s[i] = i % STRING == 20 + mix(i / STRING) % 40 ? 0 : 'a' + i % 3;
}

static uint64_t length(const char *s)
{
	uint64_t n = 0;

	while (s[n])
		n++;
	return n;
}

static bool differ(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a != *b;
}

static uint64_t str(void)
{
	const char *s = (const char *)arena;
	char copy[STRING], *c;
	uint64_t sum = 0;

	for (unsigned i = 0; i + 1 < ARENA / STRING; i++, s += STRING) {
		const char *from = s;

		sum += length(s);
		for (c = copy; (*c = *from); c++, from++)
			;
		sum += differ(copy, s + STRING) * i;
	}
	return sum;
}

/* ---- list: build, reverse, walk ---- */

struct item {
	struct item *next;
	uint64_t value;
};

static uint64_t list(void)
{
	struct item *items = (struct item *)arena, *head = NULL, *back = NULL;
	const unsigned many = ARENA / sizeof(*items);
	uint64_t sum = 0;

	for (unsigned i = 0; i < many; i++) {
		struct item *item = &items[i * 4099ull % many];

		*item = (struct item){head, i};
		head = item;
	}
	while (head) {
		struct item *next = head->next;

		head->next = back;
		back = head;
		head = next;
	}
	for (struct item *i = back; i; i = i->next)
		sum = sum * 3 + i->value;
	return sum;
}

/* ---- rows ---- */

static volatile uint64_t sink;

static uint64_t run(void (*set)(void), uint64_t (*loop)(void), uint64_t n)
{
	uint64_t start;

	arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		die("mmap");
	set();
	start = now();
	for (uint64_t i = 0; i < n; i++)
		sink = loop();
	start = now() - start;
	munmap(arena, ARENA);
	return start;
}

#define ROW(loop, set)                         \
	static uint64_t loop##_run(uint64_t n) \
	{                                      \
		return run(set, loop, n);      \
	}                                      \
	static uint64_t loop##_result(void)    \
	{                                      \
		run(set, loop, 1);             \
		return sink;                   \
	}
ROW(chase, chase_set)
ROW(hash, fill)
ROW(qsort_words, fill)
ROW(tree, fill)
ROW(lz, lz_set)
ROW(sum, fill)
ROW(str, str_set)
ROW(list, fill)

const struct row memory_rows[] = {
	{"chase", chase_run, chase_result},
	{"hash", hash_run, hash_result},
	{"qsort", qsort_words_run, qsort_words_result},
	{"tree", tree_run, tree_result},
	{"lz", lz_run, lz_result},
	{"sum", sum_run, sum_result},
	{"str", str_run, str_result},
	{"list", list_run, list_result},
	{0},
};
