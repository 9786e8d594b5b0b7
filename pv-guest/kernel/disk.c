/* SPDX-License-Identifier: MIT */
/* The command `disk`. What goes wrong is said in a line that begins with FAIL. */
#include <pv/bcache.h>
#include <pv/disk.h>
#include <pv/time.h>
#include "kernel.h"
#include "stream.h"

#define DUMP_MAX 512

/* A number with K, M or G behind it; false if it is none. */
static bool parse_size(const char *text, uint64_t *value)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;

	*value = strtoul(text, &end, 0);
	if (end == text)
		return false;
	unit = *end ? strchr(units, *end) : NULL;
	if (unit && *unit) {
		*value <<= 10 * (unit - units + 1);
		end++;
	}
	return !*end;
}

/* [OFFSET [LEN]] at argv[0]: all that there is unless said otherwise. */
static bool parse_range(struct disk *d, char **argv, int argc, uint64_t *offset, uint64_t *bytes)
{
	struct disk_info info;

	disk_info(d, &info);
	*offset = 0;
	if (argc > 0 && !parse_size(argv[0], offset))
		return false;
	*bytes = *offset < info.bytes ? info.bytes - *offset : 0;
	return argc < 2 || parse_size(argv[1], bytes);
}

static void result(const char *what, const char *name, long rc)
{
	if (rc)
		printf("FAIL disk %s %s: error %ld: %s\n", what, name, -rc, error_words(-rc));
	else
		printf("disk %s %s: done\n", what, name);
}

static void list(void)
{
	struct disk_info i;

	if (!disk_get_info(0, &i))
		printf("no disk\n");
	for (unsigned int n = 0; disk_get_info(n, &i); n++)
		printf("%-6s %12lu bytes %s%s sector %u, at most %u bytes, %u queue%s of %u, "
		       "indirect %u%s%s%s\n",
		       i.name, i.bytes, i.readonly ? "ro" : "rw", i.cdrom ? " cdrom" : "", i.sector,
		       i.max_bytes, i.queues, i.queues > 1 ? "s" : "", i.depth, i.indirect,
		       i.persistent ? ", persistent" : "", i.flush ? ", flush" : "",
		       i.discard ? ", discard" : "");
}

/* ---- read, write ---- */

static void dump(uint64_t offset, const unsigned char *data, size_t n)
{
	for (size_t at = 0; at < n; at += 16) {
		size_t line = n - at < 16 ? n - at : 16;

		printf("%08lx ", offset + at);
		for (size_t i = 0; i < 16; i++)
			i < line ? printf(" %02x", data[at + i]) : printf("   ");
		printf("  ");
		for (size_t i = 0; i < line; i++)
			printf("%c",
			       data[at + i] >= ' ' && data[at + i] < 127 ? data[at + i] : '.');
		printf("\n");
	}
}

static void add_sum(void *arg, uint64_t offset, void *data, size_t n)
{
	*(uint32_t *)arg = cksum_add(*(uint32_t *)arg, data, n);
}

static long sum(struct disk *d, const char *name, uint64_t offset, uint64_t bytes)
{
	uint32_t crc = 0;
	long rc = stream(d, DISK_READ, offset, bytes, add_sum, &crc);

	if (!rc)
		printf("disk sum %s: %u %lu\n", name, cksum_end(crc, bytes), bytes);
	return rc;
}

/* Any range: the sectors around it are read, and written if the bytes are to change. */
static long bytes_io(struct disk *d, bool write, uint64_t offset, char *bytes, size_t n)
{
	static char buf[DUMP_MAX + 2 * PAGE_SIZE];
	struct disk_info info;
	uint64_t first, end;
	long rc;

	disk_info(d, &info);
	first = offset & ~(uint64_t)(info.sector - 1);
	end = (offset + n + info.sector - 1) & ~(uint64_t)(info.sector - 1);
	if (n > DUMP_MAX || end < first)
		return -XEN_EINVAL;
	rc = disk_io(d, DISK_READ, first, buf, end - first);
	if (rc || !write) {
		memcpy(bytes, buf + (offset - first), n);
		return rc;
	}
	memcpy(buf + (offset - first), bytes, n);
	return disk_io(d, DISK_WRITE, first, buf, end - first);
}

static long cmd_read(struct disk *d, int argc, char **argv)
{
	static char buf[DUMP_MAX];
	uint64_t offset, bytes;
	long rc;

	if (argc != 3 || !parse_range(d, argv + 1, 2, &offset, &bytes))
		return -XEN_EINVAL;
	if (bytes > DUMP_MAX)
		return sum(d, argv[0], offset, bytes);
	rc = bytes_io(d, false, offset, buf, bytes);
	if (!rc)
		dump(offset, (const unsigned char *)buf, bytes);
	return rc;
}

static long cmd_write(struct disk *d, int argc, char **argv)
{
	uint64_t offset;

	if (argc != 3 || !parse_size(argv[1], &offset))
		return -XEN_EINVAL;
	return bytes_io(d, true, offset, argv[2], strlen(argv[2]));
}

static long cmd_sum(struct disk *d, int argc, char **argv)
{
	uint64_t offset, bytes;

	if (!parse_range(d, argv + 1, argc - 1, &offset, &bytes))
		return -XEN_EINVAL;
	return sum(d, argv[0], offset, bytes);
}

/* ---- fill, verify ---- */

struct pattern {
	uint64_t seed, errors, first_error;
	uint32_t crc;
};

/* The bytes of a disk are those of a counter's hash: each word says where it belongs. */
static uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15ull + index * 0xd1342543de82ef95ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static void fill_page(void *arg, uint64_t offset, void *data, size_t n)
{
	struct pattern *p = arg;
	uint64_t *words = data;

	for (size_t i = 0; i < n / 8; i++)
		words[i] = pattern_word(p->seed, offset / 8 + i);
	p->crc = cksum_add(p->crc, data, n);
}

static void verify_page(void *arg, uint64_t offset, void *data, size_t n)
{
	struct pattern *p = arg;
	const uint64_t *words = data;

	p->crc = cksum_add(p->crc, data, n);
	for (size_t i = 0; i < n / 8; i++) {
		uint64_t wrong = words[i] ^ pattern_word(p->seed, offset / 8 + i);

		if (wrong && !p->errors)
			p->first_error = offset + i * 8;
		for (; wrong; wrong >>= 8)
			p->errors += (wrong & 255) != 0;
	}
}

static long cmd_fill(struct disk *d, int argc, char **argv)
{
	bool verify = !strcmp(argv[-1], "verify");
	struct pattern p = {.seed = 0};
	uint64_t offset, bytes, begin = time_ns(), us;
	long rc;

	if (argc < 2 || !parse_size(argv[1], &p.seed) ||
	    !parse_range(d, argv + 2, argc - 2, &offset, &bytes) || offset % SECTOR)
		return -XEN_EINVAL;
	rc = stream(d, verify ? DISK_READ : DISK_WRITE, offset, bytes,
		    verify ? verify_page : fill_page, &p);
	if (rc)
		return rc;
	us = (time_ns() - begin) / 1000 + 1;
	printf("disk %s %s: %u %lu, %lu MB/s", argv[-1], argv[0], cksum_end(p.crc, bytes), bytes,
	       bytes / us);
	if (verify)
		printf(", %lu errors", p.errors);
	printf("\n");
	if (p.errors)
		printf("FAIL disk verify %s: %lu bytes differ, the first at or behind %lu\n",
		       argv[0], p.errors, p.first_error);
	return 0;
}

/* ---- the rest ---- */

static long cmd_flush(struct disk *d, int argc, char **argv)
{
	long rc = disk_flush(d);

	if (!rc)
		result("flush", argv[0], 0);
	return rc;
}

static long cmd_discard(struct disk *d, int argc, char **argv)
{
	uint64_t offset, bytes;
	long rc;

	if (!parse_range(d, argv + 1, argc - 1, &offset, &bytes))
		return -XEN_EINVAL;
	rc = disk_discard(d, offset, bytes);
	if (!rc)
		result("discard", argv[0], 0);
	return rc;
}

static long cmd_stress(struct disk *d, int argc, char **argv)
{
	uint64_t seed = 0, threads = 4, ms = 1000;

	if ((argc > 1 && !parse_size(argv[1], &seed)) ||
	    (argc > 2 && !parse_size(argv[2], &threads)) || (argc > 3 && !parse_size(argv[3], &ms)))
		return -XEN_EINVAL;
	return disk_stress(argv[0], seed, (unsigned int)threads, ms);
}

static const struct {
	const char *name, *usage;
	bool changes;
	long (*run)(struct disk *d, int argc, char **argv);
} commands[] = {
	{"read", "DEV OFFSET LEN", false, cmd_read},
	{"write", "DEV OFFSET WORD", true, cmd_write},
	{"sum", "DEV [OFFSET [LEN]]", false, cmd_sum},
	{"fill", "DEV SEED [OFFSET [LEN]]", true, cmd_fill},
	{"verify", "DEV SEED [OFFSET [LEN]]", false, cmd_fill},
	{"stress", "DEV [SEED [THREADS [MS]]]", true, cmd_stress},
	{"flush", "DEV", false, cmd_flush},
	{"discard", "DEV [OFFSET [LEN]]", true, cmd_discard},
};

static void usage(void)
{
	printf("usage: disk\n");
	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++)
		printf("       disk %s %s\n", commands[i].name, commands[i].usage);
	printf("       disk bench DEV [SIZE [MS [randread|randwrite|read|write]]] (overwrites)\n");
}

static void bench(int argc, char **argv)
{
	uint64_t bytes = ~0ull, ms = 1000;

	if (argc < 3 || (argc > 3 && !parse_size(argv[3], &bytes)) ||
	    (argc > 4 && !parse_size(argv[4], &ms)))
		usage();
	else
		disk_bench(argv[2], bytes, ms, argc > 5 ? argv[5] : NULL);
}

void disk_command(int argc, char **argv)
{
	struct disk *d;
	unsigned int i = 0;
	long rc;

	if (argc == 1) {
		list();
		return;
	}
	if (!strcmp(argv[1], "bench")) {
		bench(argc, argv);
		return;
	}
	while (i < ARRAY_SIZE(commands) && strcmp(commands[i].name, argv[1]))
		i++;
	if (i == ARRAY_SIZE(commands) || argc < 3) {
		usage();
		return;
	}
	d = disk_open(argv[2]);
	rc = d ? commands[i].run(d, argc - 2, argv + 2) : -XEN_ENODEV;
	if (rc)
		result(argv[1], argv[2], rc);
	if (rc == -XEN_EINVAL)
		printf("usage: disk %s %s\n", commands[i].name, commands[i].usage);
	if (d && commands[i].changes)
		bcache_forget(d);
	if (d)
		disk_close(d);
}
