// SPDX-License-Identifier: GPL-2.0-or-later
#include "conf/conf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf-setting.h"

/* The burst that follows the rate: this part of what that has in a second, and no less than that. */
#define BURSTS_PER_SEC 50
#define BURST_LEAST    16

/* More calls a second are not counted on. */
#define CALLS_PER_SEC 1000

/* The longest line, without its end. */
#define LINE_SIZE 4096

/* The largest file that is read. */
#define FILE_MAX_ (1 << 20)

/* What some editors put in front of UTF-8. */
#define BOM "\xef\xbb\xbf"

/**
 * struct reader - a file being parsed
 * @section: that of the line at hand
 * @line: the number of that line
 * @ignoring: the section makes no sense, and what stands in it makes none then
 * @r: the first error
 */
struct reader {
	struct config *config;
	const char *path;
	config_problem problem;
	void *userdata;
	char section[64];
	unsigned int line;
	bool ignoring;
	int r;
};

/* Tells of a problem at the line at hand, if there is one: an error if @r is one. */
static void _printf_(3, 4) reader_problem(struct reader *reader, int r, const char *format, ...)
{
	_cleanup_free_ char *reason = NULL, *message = NULL;
	va_list ap;
	int n;

	if (r < 0 && reader->r == 0)
		reader->r = r;
	va_start(ap, format);
	n = vasprintf(&reason, format, ap);
	va_end(ap);
	if (n < 0)
		reason = NULL;
	if (reader->line)
		n = asprintf(&message, "%s:%u: %s", reader->path, reader->line,
			     reason ?: strerror(ENOMEM));
	else
		n = asprintf(&message, "%s: %s", reader->path, reason ?: strerror(ENOMEM));
	if (n < 0)
		message = NULL;
	reader->problem(reader->userdata, r < 0, message ?: strerror(ENOMEM));
}

static bool is_space(char c)
{
	return c && strchr(" \t\r\f\v", c);
}

/* Cuts off a comment, and white space on both sides. */
static char *strip(char *text)
{
	char *end;

	while (is_space(*text))
		text++;
	for (end = text; *end; end++)
		if ((*end == '#' || *end == ';') && (end == text || is_space(end[-1])))
			break;
	while (end > text && is_space(end[-1]))
		end--;
	*end = '\0';
	return text;
}

static void reader_set(struct reader *reader, const char *name, const char *value)
{
	const struct setting *setting = setting_find(reader->section, name);
	const char *section = setting_find_section(name);
	_cleanup_free_ char *reason = NULL;
	int r;

	if (reader->ignoring)
		return;
	if (!setting && section) {
		reader_problem(reader, 0, "%s= belongs in section [%s], ignored", name, section);
	} else if (!setting && !reader->section[0]) {
		reader_problem(reader, 0, "%s= before any section, ignored", name);
	} else if (!setting) {
		reader_problem(reader, 0, "unknown setting %s= in section [%s], ignored", name,
			       reader->section);
	} else {
		r = setting_set(setting, reader->config, value, &reason);
		if (r < 0)
			reader_problem(reader, r, "%s", reason ?: strerror(ENOMEM));
	}
}

/* One at a time, so that an error does not hide the next. */
static void reader_parse(struct reader *reader, char *line)
{
	char *end;

	line = strip(line);
	if (!*line)
		return;
	reader->ignoring = reader->ignoring || *line == '[';
	end = *line == '[' ? strchr(line, ']') : strpbrk(line, "=:");
	if (!end) {
		reader_problem(reader, -EINVAL, "neither [Section] nor Setting=value");
		return;
	}
	*end = '\0';
	if (*line != '[') {
		reader_set(reader, strip(line), strip(end + 1));
		return;
	}
	snprintf(reader->section, sizeof(reader->section), "%s", line + 1);
	reader->ignoring = !setting_section_exists(reader->section);
	if (reader->ignoring)
		reader_problem(reader, 0, "unknown section [%s], ignored", reader->section);
	/* A setting there would be missed without a word. */
	line = strip(end + 1);
	if (*line)
		reader_problem(reader, -EINVAL, "\"%s\" behind [%s]: it needs a line of its own",
			       line, reader->section);
}

/*
 * Reads a line without its end. False: there is none. One that is too long, or that C
 * strings cannot hold, is an error, and given as an empty one.
 */
static bool reader_read_line(struct reader *reader, FILE *file, char line[LINE_SIZE])
{
	bool fits = true, text = true;
	size_t n = 0;
	int c = getc(file);

	if (c == EOF)
		return false;
	reader->line++;
	for (; c != EOF && c != '\n'; c = getc(file)) {
		text = text && c != '\0';
		fits = fits && n < LINE_SIZE - 1;
		if (fits)
			line[n++] = (char)c;
	}
	if (!fits)
		reader_problem(reader, -EINVAL, "longer than %d bytes", LINE_SIZE - 1);
	else if (!text)
		reader_problem(reader, -EINVAL, "holds a NUL byte");
	line[fits && text ? n : 0] = '\0';
	return true;
}

int config_read_stream(struct config *config, FILE *file, const char *path, config_problem problem,
		       void *userdata)
{
	struct reader reader = {
		.config = config,
		.path = path,
		.problem = problem,
		.userdata = userdata,
	};
	char line[LINE_SIZE];

	while (reader_read_line(&reader, file, line)) {
		bool has_bom = reader.line == 1 && strncmp(line, BOM, strlen(BOM)) == 0;

		reader_parse(&reader, has_bom ? line + strlen(BOM) : line);
	}
	reader.line = 0;
	if (ferror(file))
		reader_problem(&reader, -errno, "%s", strerror(errno));
	return reader.r;
}

/*
 * Reads all of the file @path to @text, FILE_MAX_ + 1 bytes. What is no regular file is not
 * waited for, and what has no end is not read to it. The size, or a negative errno.
 */
static ssize_t read_whole(const char *path, char *text)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	size_t size = 0;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENOTSUP;
	do {
		n = read(fd, text + size, FILE_MAX_ + 1 - size);
		size += n > 0 ? (size_t)n : 0;
	} while (n > 0 && size <= FILE_MAX_);
	if (n < 0)
		return -errno;
	return size > FILE_MAX_ ? -EFBIG : (ssize_t)size;
}

static const char *file_error(int r)
{
	if (r == -ENOTSUP)
		return "not a regular file";
	return r == -EFBIG ? "larger than 1 MiB" : strerror(-r);
}

static int config_read_file(struct config *config, const char *path, bool required,
			    config_problem problem, void *userdata)
{
	struct reader reader = { .path = path, .problem = problem, .userdata = userdata };
	_cleanup_free_ char *text = malloc(FILE_MAX_ + 1);
	ssize_t size = text ? read_whole(path, text) : -ENOMEM;
	FILE *file;
	int r;

	if (size <= 0) {
		if (size < 0 && (size != -ENOENT || required))
			reader_problem(&reader, (int)size, "%s", file_error((int)size));
		return reader.r;
	}
	file = fmemopen(text, (size_t)size, "r");
	if (!file) {
		reader_problem(&reader, -errno, "%s", strerror(errno));
		return reader.r;
	}
	r = config_read_stream(config, file, path, problem, userdata);
	fclose(file);
	return r;
}

static int is_drop_in(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && n > strlen(".conf") &&
	       strcmp(entry->d_name + n - strlen(".conf"), ".conf") == 0;
}

/* By byte, whatever the locale. */
static int compare_entries(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int config_read_drop_in(struct config *config, const char *dir, const char *name,
			       config_problem problem, void *userdata)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		problem(userdata, true, strerror(ENOMEM));
		return -ENOMEM;
	}
	return config_read_file(config, path, true, problem, userdata);
}

static int config_read_drop_ins(struct config *config, const char *dir, config_problem problem,
				void *userdata)
{
	struct reader reader = { .path = dir, .problem = problem, .userdata = userdata };
	struct dirent **entries = NULL;
	int n;

	n = scandir(dir, &entries, is_drop_in, compare_entries);
	if (n < 0) {
		if (errno != ENOENT)
			reader_problem(&reader, -errno, "%s", strerror(errno));
		return reader.r;
	}
	for (int i = 0; i < n; i++) {
		int r = config_read_drop_in(config, dir, entries[i]->d_name, problem, userdata);

		if (reader.r == 0)
			reader.r = r;
		free(entries[i]);
	}
	free(entries);
	return reader.r;
}

struct config *config_new(const char *path, bool required)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->path = strdup(path);
	config->required = required;
	config->backend_override = -1;
	setting_set_defaults(config);
	return config->path ? config : config_free(config);
}

static uint64_t config_get_burst_for_rate(const struct config *config)
{
	uint64_t rate = config->tlbi_rate ?: config->vm_tlbi_rate;

	return max_u64(rate / BURSTS_PER_SEC, BURST_LEAST);
}

uint64_t config_get_burst(const struct config *config)
{
	return config->tlbi_burst ?: config_get_burst_for_rate(config);
}

bool config_trusts(const struct config *config, int64_t uid)
{
	const struct config_users *users = &config->trusted_users;

	for (size_t i = 0; i < users->n; i++)
		if (uid == (int64_t)users->uids[i])
			return true;
	/* Whoever runs the daemon. */
	return uid == (int64_t)geteuid();
}

/* Half a burst is what a call is granted at the most: the other half is saved up meanwhile. */
static void config_check_burst(const struct config *config, config_problem problem, void *userdata)
{
	uint64_t calls = config->tlbi_rate / max_u64(config_get_burst(config) / 2, 1);
	_cleanup_free_ char *message = NULL;

	if (calls <= CALLS_PER_SEC)
		return;
	if (asprintf(&message,
		     "%s: TlbiBurst=%" PRIu64 " caps TlbiRate=%" PRIu64 ", which takes %" PRIu64
		     " calls a second with it: auto is %" PRIu64,
		     config->path, config->tlbi_burst, config->tlbi_rate, calls,
		     config_get_burst_for_rate(config)) < 0)
		message = NULL;
	problem(userdata, false, message ?: strerror(ENOMEM));
}

int config_read(struct config **ret, const char *path, bool required, config_problem problem,
		void *userdata)
{
	_cleanup_(config_freep) struct config *config = config_new(path, required);
	_cleanup_free_ char *dir = NULL;
	int r, in_drop_ins;

	if (!config || asprintf(&dir, "%s.d", path) < 0) {
		dir = NULL;
		problem(userdata, true, strerror(ENOMEM));
		return -ENOMEM;
	}
	r = config_read_file(config, path, required, problem, userdata);
	in_drop_ins = config_read_drop_ins(config, dir, problem, userdata);
	if (r == 0)
		r = in_drop_ins;
	if (r < 0)
		return r;
	config_check_burst(config, problem, userdata);
	*ret = TAKE_PTR(config);
	return 0;
}

/* Keeps the first error for the caller, and logs the rest. */
static void on_problem(void *userdata, bool is_error, const char *message)
{
	char **error = userdata;

	if (!is_error)
		log_warning("%s", message);
	else if (*error)
		log_error("%s", message);
	else
		*error = strdup(message);
}

int config_load(struct config **ret, const char *path, bool required, char **ret_error)
{
	*ret_error = NULL;
	return config_read(ret, path, required, on_problem, ret_error);
}

struct config *config_free(struct config *config)
{
	if (!config)
		return NULL;
	free(config->path);
	free(config);
	return NULL;
}

int config_backend_from_string(const char *s)
{
	uint64_t value;
	int r;

	r = choice_find(setting_find("Split", "Backend")->choices, s, &value);
	return r < 0 ? r : (int)value;
}

char *config_format_limits(char buf[static CONFIG_LIMITS_SIZE], uint32_t load, uint64_t rate)
{
	double percent = (double)load / 10000;

	if (load && rate)
		snprintf(buf, CONFIG_LIMITS_SIZE,
			 "TLBIs %.4g%% of the time, at most %" PRIu64 " a second", percent, rate);
	else if (load)
		snprintf(buf, CONFIG_LIMITS_SIZE, "TLBIs %.4g%% of the time", percent);
	else if (rate)
		snprintf(buf, CONFIG_LIMITS_SIZE, "%" PRIu64 " TLBI%s a second", rate,
			 plural(rate));
	else
		snprintf(buf, CONFIG_LIMITS_SIZE, "TLBIs without limit");
	return buf;
}
