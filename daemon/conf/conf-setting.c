// SPDX-License-Identifier: GPL-2.0-or-later
#include "conf/conf-setting.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "budget/batching.h"
#include "budget/budget.h"
#include "conf/conf-values.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)
#define TIB (GIB * KIB)

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
static const struct choice methods[] = {
	{ "auto", CONFIG_METHOD_AUTO },
	{ "break", CONFIG_METHOD_BREAK },
	{ "pause", CONFIG_METHOD_PAUSE },
	{},
};
static const struct choice on_dirty_logs[] = {
	{ "split", CONFIG_ON_DIRTY_LOG_SPLIT },
	{ "ignore", CONFIG_ON_DIRTY_LOG_IGNORE },
	{},
};
static const struct choice block_sizes[] = { { "2M", 2 * MIB }, { "1G", GIB }, {} };
static const struct choice bbm_levels[] = { { "0", 0 }, { "2", 2 }, {} };
static const struct choice yes_no[] = { { "yes", 1 }, { "no", 0 }, {} };

#define FIELD(f) .offset = offsetof(struct config, f), .bytes = sizeof(((struct config *)0)->f)

static const struct setting settings[] = {
	{ "Budget", "TlbiLoad", "1%", SETTING_PERCENT, FIELD(tlbi_load), .max = BUDGET_LOAD_MAX },
	{ "Budget", "TlbiRate", "1000", SETTING_RATE, FIELD(tlbi_rate), .max = BUDGET_RATE_MAX },
	{ "Budget", "TlbiBurst", "auto", SETTING_NUMBER, FIELD(tlbi_burst), .min = 1,
	  .max = BUDGET_BURST_MAX, .zero = "auto" },
	{ "Budget", "VmTlbiRate", "0", SETTING_RATE, FIELD(vm_tlbi_rate), .max = BUDGET_RATE_MAX },
	{ "Budget", "VmPauseRate", "10", SETTING_RATE, FIELD(vm_pause_rate),
	  .max = BUDGET_RATE_MAX },
	{ "Split", "Backend", "kvm", SETTING_CHOICE, FIELD(backend), .choices = backends },
	{ "Split", "Bbm", "auto", SETTING_CHOICE, FIELD(bbm), .choices = bbms },
	{ "Split", "Method", "auto", SETTING_CHOICE, FIELD(method), .choices = methods },
	{ "Split", "OnDirtyLog", "split", SETTING_CHOICE, FIELD(on_dirty_log),
	  .choices = on_dirty_logs },
	{ "Split", "ScheduledTimeoutSec", "3600", SETTING_TIME, FIELD(scheduled_timeout_sec),
	  .max = UINT32_MAX, .unit_usec = USEC_PER_SEC },
	{ "Control", "Group", "", SETTING_GROUP, FIELD(control_group) },
	{ "Names", "TrustedUsers", "root libvirt-qemu qemu", SETTING_USERS, FIELD(trusted_users) },
	{ "Sim", "Memory", "64G", SETTING_SIZE, FIELD(sim.memory), .min = 2 * MIB,
	  .max = 64 * TIB },
	{ "Sim", "BlockSize", "2M", SETTING_CHOICE, FIELD(sim.block_size), .choices = block_sizes },
	{ "Sim", "BlockUSec", "0", SETTING_TIME, FIELD(sim.block_usec), .max = USEC_PER_SEC,
	  .unit_usec = 1 },
	{ "Sim", "TlbiUSec", "20", SETTING_TIME, FIELD(sim.tlbi_usec), .max = USEC_PER_SEC,
	  .unit_usec = 1 },
	{ "Sim", "Batch", "512", SETTING_NUMBER, FIELD(sim.batch), .min = 1, .max = BATCHING_MAX },
	{ "Sim", "VcpuWaits", "25%", SETTING_PERCENT, FIELD(sim.vcpu_waits), .max = 1000000 },
	{ "Sim", "BbmLevel", "0", SETTING_CHOICE, FIELD(sim.bbm_level), .choices = bbm_levels },
	{ "Sim", "Pauses", "yes", SETTING_CHOICE, FIELD(sim.pauses), .choices = yes_no },
};

const struct setting *setting_get(size_t i)
{
	return i < ARRAY_SIZE(settings) ? &settings[i] : NULL;
}

const struct setting *setting_find(const char *section, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (strcmp(settings[i].section, section) == 0 &&
		    strcmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

const char *setting_find_section(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (strcmp(settings[i].name, name) == 0)
			return settings[i].section;
	return NULL;
}

bool setting_section_exists(const char *section)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (strcmp(settings[i].section, section) == 0)
			return true;
	return false;
}

int choice_find(const struct choice *choices, const char *text, uint64_t *ret)
{
	for (; choices->text; choices++) {
		if (strcmp(choices->text, text) == 0) {
			*ret = choices->value;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_group_or_none(const char *text, uint64_t *ret)
{
	gid_t gid = CONFIG_GROUP_NONE;
	int r = *text ? parse_group(text, &gid) : 0;

	*ret = gid;
	return r;
}

static int setting_parse(const struct setting *setting, const char *text, uint64_t *ret)
{
	int r;

	switch (setting->type) {
	case SETTING_SIZE:
		return parse_size(text, ret);
	case SETTING_RATE:
		return parse_rate(text, ret);
	case SETTING_PERCENT:
		return parse_percent(text, ret);
	case SETTING_TIME:
		r = parse_duration(text, setting->unit_usec, ret);
		/* Rounded up: a little is not the same as none. */
		if (r == 0)
			*ret = *ret / setting->unit_usec + !!(*ret % setting->unit_usec);
		return r;
	case SETTING_CHOICE:
		return choice_find(setting->choices, text, ret);
	case SETTING_GROUP:
		return parse_group_or_none(text, ret);
	default:
		return parse_u64(text, ret);
	}
}

static const char *setting_expects(const struct setting *setting)
{
	switch (setting->type) {
	case SETTING_SIZE:
		return "a size (a number, then K, M, G or T)";
	case SETTING_RATE:
		return "a rate (a number, then K, M or G, then /s)";
	case SETTING_PERCENT:
		return "a part (a number, then %)";
	case SETTING_TIME:
		return "a time (numbers with us, ms, s, min, h or d)";
	case SETTING_GROUP:
		return "a group";
	default:
		return "a number";
	}
}

/* "not one of a, b". NULL: out of memory. */
static char *reason_for_choice(const struct setting *setting, const char *text)
{
	char known[64] = "";
	size_t n = 0;
	char *reason;

	for (const struct choice *c = setting->choices; c->text; c++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", c->text);
	if (asprintf(&reason, "%s=%s: not one of %s", setting->name, text, known) < 0)
		return NULL;
	return reason;
}

/* A limit as one would write it. */
static void format_limit(char *buf, size_t size, const struct setting *setting, uint64_t value)
{
	const char *unit = "";

	if (setting->type == SETTING_PERCENT) {
		unit = "%";
		value /= 10000;
	} else if (setting->type == SETTING_TIME) {
		unit = setting->unit_usec == 1 ? "us" : "s";
	} else if (setting->type == SETTING_SIZE && value >= TIB && value % TIB == 0) {
		unit = "T";
		value /= TIB;
	} else if (setting->type == SETTING_SIZE && value >= MIB && value % MIB == 0) {
		unit = "M";
		value /= MIB;
	}
	snprintf(buf, size, "%" PRIu64 "%s", value, unit);
}

/* Why @text does not do: @r is what parsing it gave, 0: it is out of range. */
static char *setting_reason(const struct setting *setting, const char *text, int r)
{
	char min[32], max[32];
	char *reason;
	int n;

	format_limit(min, sizeof(min), setting, setting->min);
	format_limit(max, sizeof(max), setting, setting->max);

	if (setting->type == SETTING_CHOICE)
		return reason_for_choice(setting, text);
	if (setting->type == SETTING_GROUP && r != -EINVAL)
		n = asprintf(&reason, "%s=%s: %s", setting->name, text,
			     r == -ESRCH ? "there is no such group" : strerror(-r));
	else if (r == -EINVAL)
		n = asprintf(&reason, "%s=%s: not %s", setting->name, text,
			     setting_expects(setting));
	else
		n = asprintf(&reason, "%s=%s: not between %s and %s", setting->name, text, min,
			     max);
	return n < 0 ? NULL : reason;
}

static int setting_set_users(const struct setting *setting, struct config *config, const char *text,
			     char **ret_reason)
{
	struct config_users *users = (void *)((char *)config + setting->offset);
	int r = parse_users(text, users->uids, CONFIG_USERS_MAX);

	if (r >= 0) {
		users->n = (size_t)r;
		return 0;
	}
	if (asprintf(ret_reason, "%s=%s: not up to %d users", setting->name, text,
		     CONFIG_USERS_MAX) < 0)
		*ret_reason = NULL;
	return r;
}

static void setting_store(const struct setting *setting, struct config *config, uint64_t value)
{
	void *field = (char *)config + setting->offset;
	uint32_t narrow = (uint32_t)value;

	if (setting->bytes == sizeof(value))
		memcpy(field, &value, sizeof(value));
	else
		memcpy(field, &narrow, sizeof(narrow));
}

static bool setting_has_range(const struct setting *setting)
{
	return setting->type != SETTING_CHOICE && setting->type != SETTING_GROUP;
}

int setting_set(const struct setting *setting, struct config *config, const char *text,
		char **ret_reason)
{
	uint64_t value = 0;
	int r;

	*ret_reason = NULL;
	if (setting->type == SETTING_USERS)
		return setting_set_users(setting, config, text, ret_reason);
	if (setting->zero && strcmp(text, setting->zero) == 0) {
		setting_store(setting, config, 0);
		return 0;
	}
	r = setting_parse(setting, text, &value);
	if (r < 0) {
		*ret_reason = setting_reason(setting, text, r);
		return r;
	}
	if (setting_has_range(setting) && (value < setting->min || value > setting->max)) {
		*ret_reason = setting_reason(setting, text, 0);
		return -ERANGE;
	}
	setting_store(setting, config, value);
	return 0;
}

void setting_set_defaults(struct config *config)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		_cleanup_free_ char *reason = NULL;
		int r = setting_set(&settings[i], config, settings[i].initial, &reason);

		assert(r == 0);
		(void)r;
	}
}
