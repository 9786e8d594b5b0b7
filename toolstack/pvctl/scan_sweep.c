/* SPDX-License-Identifier: MIT */
/*
 * A linear sweep over code. Compilers put little data into a kernel's text, and where they do, the
 * next symbol sets the decoder right again. An instruction that runs over a symbol is shown as well
 * as what starts at the symbol: neither can hide the other.
 */
#include "toolstack/pvctl/scan.h"

#include <string.h>

#define PROGRESS_BYTES (1 << 20)

struct sweep {
	const struct elf_image *e;
	const struct scan_sink *sink;
	ZydisDecoder decoder;
	uint64_t done, all, next_progress;
};

static const uint8_t forced_prefix[] = {0x0f, 0x0b, 'x', 'e', 'n'};

static void hit(struct sweep *s, uint32_t section, uint64_t offset, const struct scan_rule *rule,
		const ZydisDecodedInstruction *i, bool forced)
{
	struct scan_hit h = {.section = section, .offset = offset, .rule = rule, .forced = forced};

	h.length = i->length;
	memcpy(h.bytes, s->e->section[section].data + offset, i->length);
	s->sink->hit(s->sink->ctx, &h);
}

static void no_code(struct sweep *s, uint32_t section, uint64_t from, uint64_t to)
{
	const struct scan_hit h = {.section = section, .offset = from, .run = to - from};

	if (to > from)
		s->sink->hit(s->sink->ctx, &h);
}

static void report(struct sweep *s, uint64_t offset)
{
	if (s->sink->progress && s->done + offset >= s->next_progress) {
		s->sink->progress(s->sink->ctx, s->done + offset, s->all);
		s->next_progress = s->done + offset + PROGRESS_BYTES;
	}
}

/* The code from one symbol to the next, or to the end. */
static void stretch(struct sweep *s, uint32_t section, uint64_t from, uint64_t to)
{
	const struct elf_section *sec = &s->e->section[section];
	uint64_t at = from, bad = from; /* [bad, at) is no code */
	bool forced = false;

	while (at < to) {
		const struct scan_rule *rule;
		ZydisDecodedInstruction i;

		report(s, at);
		if (ZYAN_FAILED(ZydisDecoderDecodeInstruction(&s->decoder, NULL, sec->data + at,
							      sec->size - at, &i))) {
			at++;
			continue;
		}
		no_code(s, section, bad, at);
		rule = scan_rule(&i);
		if (rule)
			hit(s, section, at, rule, &i, forced);
		/* Xen's forced emulation: UD2, "xen", and the instruction meant. */
		forced = sec->size - at > sizeof(forced_prefix) &&
			 !memcmp(sec->data + at, forced_prefix, sizeof(forced_prefix));
		at += forced ? sizeof(forced_prefix) : i.length;
		bad = at;
	}
	no_code(s, section, bad, to);
}

static void section_sweep(struct sweep *s, uint32_t n)
{
	const uint64_t size = s->e->section[n].size;
	const struct elf_symbol *next;
	uint64_t at = 0, to;

	for (; at < size; at = to) {
		next = elf_symbol_after(s->e, n, at);
		to = next ? next->offset : size;
		stretch(s, n, at, to);
	}
	s->done += size;
}

void scan_sweep(const struct elf_image *e, const struct scan_sink *sink)
{
	struct sweep s = {.e = e, .sink = sink, .next_progress = PROGRESS_BYTES};

	ZydisDecoderInit(&s.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (uint32_t i = 0; i < e->sections; i++)
		if (e->section[i].exec)
			s.all += e->section[i].size;
	for (uint32_t i = 0; i < e->sections; i++)
		if (e->section[i].exec)
			section_sweep(&s, i);
}
