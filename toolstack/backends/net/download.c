/* SPDX-License-Identifier: MIT */
/*
 * A filter that the frontend downloads (hypercalls/abi/pavane/netfilter.h): it grants the pages
 * that hold the program and announces them in its directory; the answer is in ours. The program is
 * copied out once, and what the kernel verifies is that copy.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hypercalls/abi/pavane/netfilter.h"
#include "toolstack/backends/net/device.h"

_Static_assert(sizeof(struct pavane_filter_insn) == sizeof(struct sock_filter), "as the kernel's");
_Static_assert(PAVANE_FILTER_MAX_INSNS == BPF_MAXINSNS, "as the kernel's");

/* Numbers with one space between them. How many, or 0: malformed or too many. */
static unsigned parse_refs(char *s, uint32_t *refs, unsigned max)
{
	unsigned n = 0;

	for (;;) {
		char *end;
		unsigned long v;

		if (*s < '0' || *s > '9' || n == max)
			return 0;
		v = strtoul(s, &end, 10);
		if (v > UINT32_MAX || (*end && *end != ' '))
			return 0;
		refs[n++] = v;
		if (!*end)
			return n;
		s = end + 1;
	}
}

/* NULL, or why not. *len 0: no program, the filter is to go. */
static const char *copy_program(struct dev *d, struct sock_filter *to, uint32_t *len)
{
	uint32_t refs[PAVANE_FILTER_MAX_PAGES];
	char text[PAVANE_FILTER_MAX_PAGES * 11 + 1];
	uint64_t n;
	unsigned pages;
	void *p;

	if (!dev_read_u64(d, d->front, "filter-len", PAVANE_FILTER_MAX_INSNS, &n))
		return "filter-len is no number up to 4096";
	*len = n;
	if (!n)
		return NULL;
	pages = (n * sizeof(*to) + NET_PAGE - 1) / NET_PAGE;
	if (!dev_read(d, d->front, "filter-ref", text, sizeof(text)) ||
	    parse_refs(text, refs, PAVANE_FILTER_MAX_PAGES) != pages)
		return "filter-ref names not as many grants as the program has pages";
	p = dev_map(d, refs, pages, PROT_READ);
	if (!p)
		return "its pages cannot be mapped";
	memcpy(to, p, n * sizeof(*to));
	dev_unmap(d, p, pages);
	return NULL;
}

/* On a socket pair first, whatever the wire does: a refusal leaves all as it was. */
static int attach(struct net *n, const struct sock_filter *prog, uint32_t len)
{
	struct filter probe = {-1, -1, 0};
	int rc;

	if (!n->wire->ops->filter) {
		if (len)
			return filter_attach(&n->filter, prog, len);
		filter_detach(&n->filter);
		return 0;
	}
	rc = len ? filter_attach(&probe, prog, len) : 0;
	filter_detach(&probe);
	return rc ? rc : n->wire->ops->filter(n->wire, prog, len);
}

static const char *reason(int rc)
{
	return rc == -EINVAL ? "the verifier does not accept it" : strerror(-rc);
}

static void answer(struct dev *d, uint32_t gen, const char *why)
{
	if (why)
		dev_log(d, "filter %u refused: %s", gen, why);
	dev_write(d, "filter-status", why ? "%u refused: %s" : "%u ok", gen, why);
}

void net_filter_changed(struct dev *d)
{
	struct net *n = d->priv;
	struct net_saved *s = n->saved;
	const uint32_t next = !s->filter;
	const char *why;
	uint64_t gen;
	int rc;

	if (!n->nr_queues || !dev_read_u64(d, d->front, "filter-gen", UINT32_MAX, &gen) ||
	    gen == s->filter_gen)
		return;
	why = copy_program(d, s->filters[next], &s->filter_len[next]);
	if (!why) {
		rc = attach(n, s->filters[next], s->filter_len[next]);
		why = rc ? reason(rc) : NULL;
	}
	if (!why)
		__atomic_store_n(&s->filter, next, __ATOMIC_RELEASE);
	answer(d, gen, why);
	s->filter_gen = gen; /* a successor would not answer it any more */
}

void net_filter_restore(struct net *n)
{
	struct net_saved *s = n->saved;
	const uint32_t at = s->filter & 1, len = s->filter_len[at];
	int rc = len <= BPF_MAXINSNS ? attach(n, s->filters[at], len) : -EINVAL;

	if (rc)
		dev_log(n->d, "the filter cannot be attached again: %s", reason(rc));
}

void net_filter_remove(struct net *n)
{
	struct net_saved *s = n->saved;

	if (s->filter_len[s->filter & 1])
		attach(n, NULL, 0);
	s->filter_gen = 0;
	s->filter_len[0] = s->filter_len[1] = 0;
}
