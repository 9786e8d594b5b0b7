/* SPDX-License-Identifier: MIT */
/*
 * Line editing: left, right, home, end, backspace, ^U, ^K, ^C, and a history with up and down.
 * The terminal gets only characters every terminal knows: the line is redrawn behind a \r.
 */
#include <pv/event.h>
#include <pv/process.h>
#include "kernel.h"

#define LINE_MAX 120
#define HISTORY	 8
#define CTRL(c)	 ((c)&0x1f)

enum key { KEY_UP = 256, KEY_DOWN, KEY_LEFT, KEY_RIGHT, KEY_HOME, KEY_END, KEY_DELETE, KEY_NONE };

static char history[HISTORY][LINE_MAX];
static unsigned int history_next;
static struct lock input_lock;
static char input[64];
static size_t input_len, input_pos;

struct line {
	const char *prompt;
	char text[LINE_MAX];
	size_t len, pos, shown;
};

static void input_event(unsigned int port, void *data)
{
	bool enabled = lock(&input_lock);

	thread_wake(input);
	unlock(&input_lock, enabled);
}

void edit_init(void)
{
	unsigned int port = console_port();

	if (is_initial_domain()) {
		long rc = event_bind_virq(VIRQ_CONSOLE);

		port = rc > 0 ? (unsigned int)rc : 0;
	}
	if (port)
		event_bind(port, input_event, NULL);
}

static int get_char(void)
{
	if (input_pos == input_len) {
		bool enabled = lock(&input_lock);

		while (!(input_len = console_read(input, sizeof(input))) && !process_interrupted())
			thread_wait(input, ~0ull, &input_lock);
		unlock(&input_lock, enabled);
		input_pos = 0;
		if (!input_len)
			return CTRL('c');
	}
	return (unsigned char)input[input_pos++];
}

static int get_key(void)
{
	static const struct {
		char c;
		int key;
	} keys[] = {{'A', KEY_UP},   {'B', KEY_DOWN}, {'C', KEY_RIGHT},
		    {'D', KEY_LEFT}, {'H', KEY_HOME}, {'F', KEY_END}};
	int c = get_char();

	if (c != 27)
		return c;
	c = get_char();
	if (c != '[' && c != 'O')
		return KEY_NONE;
	c = get_char();
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].c == c)
			return keys[i].key;
	if (c >= '0' && c <= '9') {
		bool delete = c == '3';

		while (c >= '0' && c <= '9')
			c = get_char();
		return delete &&c == '~' ? KEY_DELETE : KEY_NONE;
	}
	return KEY_NONE;
}

static void redraw(struct line *l)
{
	printf("\r%s%s", l->prompt, l->text);
	for (size_t i = l->len; i < l->shown; i++)
		printf(" ");
	printf("\r%s%.*s", l->prompt, (int)l->pos, l->text);
	l->shown = l->len;
}

static void insert(struct line *l, char c)
{
	if (l->len == LINE_MAX - 1)
		return;
	memmove(l->text + l->pos + 1, l->text + l->pos, l->len - l->pos + 1);
	l->text[l->pos++] = c;
	l->len++;
	if (l->pos == l->len) {
		/* The common case needs no redraw, which keeps piped input readable. */
		console_write(&c, 1);
		l->shown = l->len;
		return;
	}
	redraw(l);
}

static void cut(struct line *l, size_t from, size_t to)
{
	memmove(l->text + from, l->text + to, l->len - to + 1);
	l->len -= to - from;
	l->pos = from;
	redraw(l);
}

static void recall(struct line *l, unsigned int *back, int step)
{
	unsigned int want = *back + step;

	if (want > HISTORY || want > history_next)
		return;
	*back = want;
	l->text[0] = 0;
	if (want)
		strlcpy(l->text, history[(history_next - want) % HISTORY], LINE_MAX);
	l->len = l->pos = strlen(l->text);
	redraw(l);
}

/* Everything but the end of the line. */
static void edit_key(struct line *l, int key, unsigned int *back)
{
	if (key == KEY_LEFT || key == CTRL('b'))
		l->pos -= l->pos > 0;
	else if (key == KEY_RIGHT || key == CTRL('f'))
		l->pos += l->pos < l->len;
	else if (key == KEY_HOME || key == CTRL('a'))
		l->pos = 0;
	else if (key == KEY_END || key == CTRL('e'))
		l->pos = l->len;
	else if ((key == 127 || key == '\b') && l->pos)
		cut(l, l->pos - 1, l->pos);
	else if ((key == KEY_DELETE || key == CTRL('d')) && l->pos < l->len)
		cut(l, l->pos, l->pos + 1);
	else if (key == CTRL('u'))
		cut(l, 0, l->pos);
	else if (key == CTRL('k'))
		cut(l, l->pos, l->len);
	else if (key == KEY_UP || key == CTRL('p'))
		recall(l, back, 1);
	else if (key == KEY_DOWN || key == CTRL('n'))
		recall(l, back, -1);
	else if (key >= ' ' && key < 127)
		insert(l, (char)key);
	if (key >= KEY_LEFT || (key < ' ' && key != '\b'))
		redraw(l);
}

void edit_line(const char *prompt, char *buf, size_t size)
{
	static bool after_cr;
	struct line l = {.prompt = prompt};
	unsigned int back = 0;

	printf("%s", prompt);

	for (;;) {
		int key = get_key();

		if (key == '\n' && after_cr) {
			after_cr = false;
			continue;
		}
		after_cr = key == '\r';
		if (key == '\r' || key == '\n')
			break;
		if (key == CTRL('c')) {
			l.text[0] = 0;
			l.len = 0;
			break;
		}
		edit_key(&l, key, &back);
	}
	printf("\n");
	if (l.len && (!history_next || strcmp(history[(history_next - 1) % HISTORY], l.text)))
		strlcpy(history[history_next++ % HISTORY], l.text, LINE_MAX);
	strlcpy(buf, l.text, size);
}
