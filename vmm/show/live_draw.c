// SPDX-License-Identifier: GPL-2.0-only
/* The live screen on ncurses: draws what the ordinary screen renders. */
#include "show/live_draw.h"

#include <errno.h>
#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "show/screens.h"

#define ESCAPE_MS 25 /* how long an Escape may be the start of a function key */

struct live_page {
	struct show show;
	FILE *in;
	SCREEN *screen;
	unsigned first, lines; /* first line shown; lines of the page */
};

/* Ctrl-Z comes as a key: while ncurses draws it ignores SIGTSTP, which throws away one that is
 * pending. */
static void suspend_is_a_key(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t))
		return;
	t.c_cc[VSUSP] = _POSIX_VDISABLE;
	tcsetattr(fd, TCSADRAIN, &t);
	def_prog_mode();
}

static void start_colors(struct live_page *p)
{
	p->show.color =
		p->show.color && has_colors() && start_color() == OK && use_default_colors() == OK;
	if (!p->show.color)
		return;
	init_pair(1, COLOR_GREEN, -1);
	init_pair(2, COLOR_YELLOW, -1);
	init_pair(3, COLOR_RED, -1);
}

int live_open(const struct show *s, FILE *in, struct live_page **out, struct error *err)
{
	struct live_page *p = calloc(1, sizeof(*p));
	const char *term = getenv("TERM");

	if (!p)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "live screen: no memory");
	p->show = *s;
	p->in = in;
	setlocale(LC_CTYPE, ""); /* ncurses decodes multibyte text by it */
	p->screen = newterm(NULL, s->out, in);
	if (!p->screen) {
		free(p);
		return error_set(
			err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTTY,
			"terminal type \"%.60s\" is not known here; set TERM, or use --once",
			term ? term : "");
	}
	set_escdelay(ESCAPE_MS);
	cbreak();
	noecho();
	nonl();
	suspend_is_a_key(fileno(in));
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	start_colors(p);
	*out = p;
	return 0;
}

void live_close(struct live_page *p)
{
	if (!p)
		return;
	endwin();
	delscreen(p->screen);
	free(p);
}

void live_suspend(struct live_page *p)
{
	endwin();
}

void live_resume(struct live_page *p)
{
	reset_prog_mode();
	live_resize(p);
}

void live_resize(struct live_page *p)
{
	struct winsize ws;

	if (ioctl(fileno(p->show.out), TIOCGWINSZ, &ws) == 0 && ws.ws_row && ws.ws_col)
		resizeterm(ws.ws_row, ws.ws_col);
	clear();
}

/* The sequences style_on() makes, and no others: text is cleaned of escapes before. */
static void set_look(const char *sgr)
{
	static const struct {
		const char *sgr;
		attr_t attr;
		short pair;
	} looks[] = {
		{"0m", A_NORMAL, 0},  {"1m", A_BOLD, 0},    {"2m", A_DIM, 0},
		{"32m", A_NORMAL, 1}, {"33m", A_NORMAL, 2}, {"31m", A_NORMAL, 3},
	};
	unsigned i;

	for (i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		if (!strncmp(sgr, looks[i].sgr, strlen(looks[i].sgr)))
			attr_set(looks[i].attr, looks[i].pair, NULL);
}

static void draw_line(int y, const char *line, size_t len)
{
	const char *end = line + len;

	move(y, 0);
	while (line < end) {
		size_t n = strcspn(line, "\033\n");

		if (n)
			addnstr(line, (int)n);
		line += n;
		if (line >= end || *line == '\n')
			break;
		set_look(line + 2); /* past "\033[" */
		line += strcspn(line, "m\n");
		line += *line == 'm';
	}
	clrtoeol();
}

static char *render(struct live_page *p, const json_t *doc)
{
	struct show s = p->show;
	char *text = NULL;
	size_t len;

	s.out = open_memstream(&text, &len);
	if (!s.out)
		return NULL;
	s.width = COLS > 40 ? (unsigned)COLS : 40;
	if (doc)
		screen_top(&s, doc);
	else
		lines_text(&s, 0, STYLE_PLAIN, "Asking the guest's monitor ...");
	return fclose(s.out) ? NULL : text;
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

void live_draw(struct live_page *p, const json_t *doc, unsigned interval_ms)
{
	unsigned room = LINES > 1 ? (unsigned)LINES - 1 : 1, i;
	char *text = render(p, doc), *line = text, foot[120];

	if (!text)
		return;
	p->lines = count_lines(text);
	if (p->first + room > p->lines)
		p->first = p->lines > room ? p->lines - room : 0;
	erase();
	for (i = 0; line && *line && i < p->first + room; i++) {
		size_t len = strcspn(line, "\n");

		if (i >= p->first)
			draw_line((int)(i - p->first), line, len);
		attr_set(A_NORMAL, 0, NULL);
		line += len + (line[len] == '\n');
	}
	snprintf(foot, sizeof(foot), " lines %u-%u of %u   q quit   up/down scroll   every %.2g s ",
		 p->lines ? p->first + 1 : 0,
		 p->first + room < p->lines ? p->first + room : p->lines, p->lines,
		 interval_ms / 1000.0);
	attr_set(A_REVERSE, 0, NULL);
	mvaddnstr(LINES - 1, 0, foot, COLS - 1);
	attr_set(A_NORMAL, 0, NULL);
	refresh();
	free(text);
}

static void scroll_by(struct live_page *p, int lines)
{
	int at = (int)p->first + lines;

	p->first = at < 0 ? 0 : (unsigned)at; /* live_draw() bounds it from above */
}

enum live_key live_keys(struct live_page *p)
{
	enum live_key result = LIVE_KEY_NONE;
	int key;

	while ((key = getch()) != ERR) {
		result = LIVE_KEY_REDRAW;
		switch (key) {
		case 'q':
		case 'Q':
		case 3: /* Ctrl-C where the terminal does not make a signal of it */
		case 4:
		case 27:
			return LIVE_KEY_QUIT;
		case 26: /* Ctrl-Z */
			return LIVE_KEY_SUSPEND;
		case KEY_UP:
		case 'k':
			scroll_by(p, -1);
			break;
		case KEY_DOWN:
		case 'j':
			scroll_by(p, 1);
			break;
		case KEY_PPAGE:
			scroll_by(p, -(LINES - 2));
			break;
		case KEY_NPAGE:
		case ' ':
			scroll_by(p, LINES - 2);
			break;
		case KEY_HOME:
			p->first = 0;
			break;
		}
	}
	return feof(p->in) || ferror(p->in) ? LIVE_KEY_QUIT : result;
}
