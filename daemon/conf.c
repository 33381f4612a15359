// SPDX-License-Identifier: GPL-2.0-or-later
#include "conf.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <ini.h>

#include "budget.h"
#include "log.h"
#include "parse.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)
#define TIB (GIB * KIB)

enum setting_type {
	SETTING_NUMBER,
	SETTING_SIZE,
	SETTING_CHOICE,
};

/* What a SETTING_CHOICE may be: text, and what it is stored as. */
struct choice {
	const char *text;
	uint64_t value;
};

/**
 * struct setting - one that there is
 * @offset: of its field in struct config
 * @bytes: size of that field
 * @min: the lowest number or size
 * @max: the highest
 * @choices: of a SETTING_CHOICE, ended by one without text
 */
struct setting {
	const char *section;
	const char *name;
	enum setting_type type;
	size_t offset;
	size_t bytes;
	uint64_t min;
	uint64_t max;
	const struct choice *choices;
};

/**
 * struct reader - a file being parsed
 * @line: the line that was read last
 * @r: the first error, and no other is looked for
 * @error: its message
 */
struct reader {
	struct config *config;
	const char *path;
	FILE *file;
	unsigned int line;
	int r;
	char *error;
};

static const struct choice backends[] = {
	{ "kvm", CONFIG_BACKEND_KVM },
	{ "sim", CONFIG_BACKEND_SIM },
	{},
};
static const struct choice bbms[] = {
	{ "auto", CONFIG_BBM_AUTO },
	{ "off", CONFIG_BBM_OFF },
	{},
};
static const struct choice on_dirty_logs[] = {
	{ "split", CONFIG_ON_DIRTY_LOG_SPLIT },
	{ "ignore", CONFIG_ON_DIRTY_LOG_IGNORE },
	{},
};
static const struct choice block_sizes[] = { { "2M", 2 * MIB }, { "1G", GIB }, {} };
static const struct choice bbm_levels[] = { { "0", 0 }, { "2", 2 }, {} };

#define FIELD(f) .offset = offsetof(struct config, f), .bytes = sizeof(((struct config *)0)->f)

static const struct setting settings[] = {
	{ "Budget", "TlbiRate", SETTING_NUMBER, FIELD(tlbi_rate), .max = BUDGET_RATE_MAX },
	{ "Budget", "TlbiBurst", SETTING_NUMBER, FIELD(tlbi_burst), .min = 1,
	  .max = BUDGET_BURST_MAX },
	{ "Budget", "VmTlbiRate", SETTING_NUMBER, FIELD(vm_tlbi_rate), .max = BUDGET_RATE_MAX },
	{ "Split", "Backend", SETTING_CHOICE, FIELD(backend), .choices = backends },
	{ "Split", "Bbm", SETTING_CHOICE, FIELD(bbm), .choices = bbms },
	{ "Split", "OnDirtyLog", SETTING_CHOICE, FIELD(on_dirty_log), .choices = on_dirty_logs },
	{ "Split", "ScheduledTimeoutSec", SETTING_NUMBER, FIELD(scheduled_timeout_sec),
	  .max = UINT32_MAX },
	{ "Sim", "Memory", SETTING_SIZE, FIELD(sim_memory), .min = 2 * MIB, .max = 64 * TIB },
	{ "Sim", "BlockSize", SETTING_CHOICE, FIELD(sim_block_size), .choices = block_sizes },
	{ "Sim", "TlbiUSec", SETTING_NUMBER, FIELD(sim_tlbi_usec), .max = 1000000 },
	{ "Sim", "BbmLevel", SETTING_CHOICE, FIELD(sim_bbm_level), .choices = bbm_levels },
};

/* Notes the first error, which is at @line, or at none if that is 0. */
static void _printf_(4, 5)
	reader_fail(struct reader *reader, int r, unsigned int line, const char *format, ...)
{
	_cleanup_free_ char *reason = NULL;
	va_list ap;
	int n;

	if (reader->r < 0)
		return;
	reader->r = r;

	va_start(ap, format);
	n = vasprintf(&reason, format, ap);
	va_end(ap);
	if (n < 0) {
		reason = NULL;
		return;
	}
	if (line)
		n = asprintf(&reader->error, "%s:%u: %s", reader->path, line, reason);
	else
		n = asprintf(&reader->error, "%s: %s", reader->path, reason);
	if (n < 0)
		reader->error = NULL;
}

static void setting_store(struct config *config, const struct setting *setting, uint64_t value)
{
	void *field = (char *)config + setting->offset;
	uint32_t narrow = (uint32_t)value;

	if (setting->bytes == sizeof(value))
		memcpy(field, &value, sizeof(value));
	else
		memcpy(field, &narrow, sizeof(narrow));
}

static int choice_find(const struct choice *choices, const char *s, uint64_t *ret)
{
	for (; choices->text; choices++) {
		if (strcmp(choices->text, s) == 0) {
			*ret = choices->value;
			return 0;
		}
	}
	return -EINVAL;
}

static void setting_fail_choice(struct reader *reader, const struct setting *setting,
				const char *value)
{
	char known[64] = "";
	size_t n = 0;

	for (const struct choice *c = setting->choices; c->text; c++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", c->text);
	reader_fail(reader, -EINVAL, reader->line, "%s=%s: not one of %s", setting->name, value,
		    known);
}

static void setting_parse(struct reader *reader, const struct setting *setting, const char *value)
{
	uint64_t number = 0;
	int r;

	if (setting->type == SETTING_CHOICE) {
		r = choice_find(setting->choices, value, &number);
		if (r < 0)
			setting_fail_choice(reader, setting, value);
		else
			setting_store(reader->config, setting, number);
		return;
	}

	r = setting->type == SETTING_SIZE ? parse_size(value, &number) : parse_u64(value, &number);
	if (r == -EINVAL)
		reader_fail(reader, r, reader->line, "%s=%s: not a %s", setting->name, value,
			    setting->type == SETTING_SIZE ? "size (a number, then K, M, G or T)"
							  : "number");
	else if (r < 0 || number < setting->min || number > setting->max)
		reader_fail(reader, -ERANGE, reader->line,
			    "%s=%s: not between %" PRIu64 " and %" PRIu64, setting->name, value,
			    setting->min, setting->max);
	else
		setting_store(reader->config, setting, number);
}

/* inih knows comments behind a value by ';' only. */
static void strip_comment(char *value)
{
	for (char *p = value; *p; p++) {
		if (*p == '#' && (p == value || p[-1] == ' ' || p[-1] == '\t')) {
			while (p > value && (p[-1] == ' ' || p[-1] == '\t'))
				p--;
			*p = '\0';
			return;
		}
	}
}

static int on_setting(void *userdata, const char *section, const char *name, const char *text)
{
	struct reader *reader = userdata;
	_cleanup_free_ char *value = NULL;

	if (reader->r < 0)
		return 0;
	value = strdup(text);
	if (!value) {
		reader->r = -ENOMEM;
		return 0;
	}
	strip_comment(value);

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (strcmp(settings[i].section, section) || strcmp(settings[i].name, name))
			continue;
		setting_parse(reader, &settings[i], value);
		return reader->r == 0;
	}
	log_warning("%s:%u: unknown setting %s= in section [%s], ignored", reader->path,
		    reader->line, name, section);
	return 1;
}

/*
 * Gives inih a line at a time: this is how its handler, which inih does not
 * tell where it is, knows the line. One that does not fit into @room, or that
 * C strings cannot hold, is an error, not two lines or half of one.
 */
static char *read_line(char *buffer, int room, void *userdata)
{
	struct reader *reader = userdata;
	_cleanup_free_ char *line = NULL;
	size_t allocated = 0;
	ssize_t n;

	if (reader->r < 0)
		return NULL;
	n = getline(&line, &allocated, reader->file);
	if (n < 0) {
		if (ferror(reader->file))
			reader_fail(reader, -errno, 0, "%s", strerror(errno));
		return NULL;
	}
	reader->line++;
	if (n >= room) {
		reader_fail(reader, -EINVAL, reader->line, "longer than %d bytes", room - 1);
		return NULL;
	}
	if (memchr(line, '\0', (size_t)n)) {
		reader_fail(reader, -EINVAL, reader->line, "holds a NUL byte");
		return NULL;
	}
	memcpy(buffer, line, (size_t)n + 1);
	return buffer;
}

static int config_read_file(struct config *config, const char *path, bool required,
			    char **ret_error)
{
	struct reader reader = { .config = config, .path = path };
	int r;

	reader.file = fopen(path, "re");
	if (!reader.file) {
		if (errno == ENOENT && !required)
			return 0;
		reader_fail(&reader, -errno, 0, "%s", strerror(errno));
	} else {
		r = ini_parse_stream(read_line, &reader, on_setting, &reader);
		fclose(reader.file);
		if (r > 0)
			reader_fail(&reader, -EINVAL, (unsigned int)r,
				    "neither [Section] nor Setting=value");
		else if (r < 0)
			reader_fail(&reader, -ENOMEM, 0, "%s", strerror(ENOMEM));
	}
	*ret_error = reader.error;
	return reader.r;
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

static int config_read_drop_ins(struct config *config, const char *path, char **ret_error)
{
	struct dirent **entries = NULL;
	_cleanup_free_ char *dir = NULL;
	int n, r = 0;

	if (asprintf(&dir, "%s.d", path) < 0) {
		dir = NULL;
		return -ENOMEM;
	}
	n = scandir(dir, &entries, is_drop_in, compare_entries);
	if (n < 0) {
		if (errno == ENOENT)
			return 0;
		r = -errno;
		if (asprintf(ret_error, "%s: %s", dir, strerror(-r)) < 0)
			*ret_error = NULL;
		return r;
	}
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *file = NULL;

		if (r == 0 && asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0) {
			file = NULL;
			r = -ENOMEM;
		}
		if (r == 0)
			r = config_read_file(config, file, true, ret_error);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static struct config *config_new(const char *path, bool required)
{
	struct config *config;

	config = malloc(sizeof(*config));
	if (!config)
		return NULL;
	*config = (struct config){
		.path = strdup(path),
		.required = required,
		.backend_override = -1,
		.tlbi_rate = 1000,
		.tlbi_burst = 16,
		.scheduled_timeout_sec = 3600,
		.sim_memory = 64 * GIB,
		.sim_block_size = 2 * MIB,
		.sim_tlbi_usec = 20,
	};
	return config->path ? config : config_free(config);
}

int config_load(struct config **ret, const char *path, bool required, char **ret_error)
{
	_cleanup_(config_freep) struct config *config = NULL;
	int r;

	*ret_error = NULL;
	config = config_new(path, required);
	if (!config)
		return -ENOMEM;
	r = config_read_file(config, path, required, ret_error);
	if (r < 0)
		return r;
	r = config_read_drop_ins(config, path, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(config);
	return 0;
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

	r = choice_find(backends, s, &value);
	return r < 0 ? r : (int)value;
}
