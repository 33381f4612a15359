// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#define HEIGHT_DEFAULT 24

/* Another screen, so that what was on this one is back afterwards; and no cursor. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

struct screen {
	struct termios before;
	sigset_t mask_before;
	int signals;
};

int screen_new(struct screen **ret)
{
	struct screen *s = calloc(1, sizeof(*s));
	struct termios raw;
	sigset_t mask;
	int r;

	if (!s)
		return -ENOMEM;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGWINCH);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0 || tcgetattr(STDIN_FILENO, &s->before) < 0) {
		r = -errno;
		if (s->signals >= 0)
			close(s->signals);
		free(s);
		return r;
	}
	(void)sigprocmask(SIG_BLOCK, &mask, &s->mask_before);
	raw = s->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs(ENTER, stdout);
	fflush(stdout);
	*ret = s;
	return 0;
}

struct screen *screen_free(struct screen *s)
{
	if (!s)
		return NULL;
	fputs(LEAVE, stdout);
	fflush(stdout);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
	close(s->signals);
	(void)sigprocmask(SIG_SETMASK, &s->mask_before, NULL);
	free(s);
	return NULL;
}

int screen_height(const struct screen *s)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0)
		return HEIGHT_DEFAULT;
	return size.ws_row;
}

void screen_draw(struct screen *s, const char *text)
{
	int lines = screen_height(s);

	fputs("\033[H", stdout);
	for (int i = 0; i < lines && *text; i++) {
		size_t n = strcspn(text, "\n");

		/* Not behind the last line, which would move all of them up. */
		printf("%s%.*s\033[K", i ? "\n" : "", (int)n, text);
		text += n + (text[n] == '\n');
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* Whether the signal is one that ends it. */
static bool take_signal(struct screen *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGWINCH)
			return true;
	return false;
}

int screen_wait(struct screen *s, uint64_t usec)
{
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = s->signals, .events = POLLIN },
	};
	unsigned char key;
	int r;

	do
		r = poll(fds, ARRAY_SIZE(fds), (int)min_u64(usec / 1000 + 1, INT32_MAX));
	while (r < 0 && errno == EINTR);
	if (r < 0 || (fds[1].revents && take_signal(s)))
		return SCREEN_QUIT;
	if (!fds[0].revents)
		return SCREEN_NONE;
	return read(STDIN_FILENO, &key, 1) == 1 ? key : SCREEN_QUIT;
}
