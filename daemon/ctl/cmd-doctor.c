// SPDX-License-Identifier: GPL-2.0-or-later
/* The command that looks whether the host has all that is needed. */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#include <linux/kvm_eager_split.h>

#include "ctl/client.h"
#include "ctl/doctor.h"
#include "ctl/json.h"
#include "ctl/unit.h"
#include "varlink/json.h"

static int on_check_extension(void *userdata, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	int mask;

	if (fd < 0)
		return -errno;
	mask = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EAGER_SPLIT);
	return mask < 0 ? -errno : mask;
}

static int on_get_unit(void *userdata, const char *name, struct unit_state *ret)
{
	return unit_get_state(name, ret);
}

static int on_connect(void *userdata)
{
	_cleanup_(client_freep) struct client *client = NULL;

	return client_try(&client, userdata);
}

static int on_get_host(void *userdata, struct doctor_daemon *ret)
{
	_cleanup_(client_freep) struct client *client = NULL;
	_cleanup_json_ json_object *reply = NULL;
	json_object *host;
	int r;

	r = client_try(&client, userdata);
	if (r < 0)
		return r;
	r = client_try_ask(client, "GetHost", json_object_new_object(), &reply);
	if (r < 0)
		return r;
	host = ctl_json_member(reply, "host");
	snprintf(ret->version, sizeof(ret->version), "%s", ctl_json_string(host, "version"));
	snprintf(ret->backend, sizeof(ret->backend), "%s", ctl_json_string(host, "backend"));
	ret->supported = ctl_json_bool(host, "supported");
	snprintf(ret->not_kept, sizeof(ret->not_kept), "%s", ctl_json_string(host, "notKept"));
	return 0;
}

static const struct doctor_ops doctor_ops = {
	.check_extension = on_check_extension,
	.get_unit = on_get_unit,
	.connect = on_connect,
	.get_host = on_get_host,
};

static enum colour status_colour(enum check_status status)
{
	switch (status) {
	case CHECK_OK:
		return COLOUR_GREEN;
	case CHECK_WARNING:
		return COLOUR_YELLOW;
	case CHECK_FAILED:
		return COLOUR_RED;
	default:
		return COLOUR_DIM;
	}
}

#define INDENT 23 /* what stands in front of what was found */

/* Text in lines of at most so many columns, each but the first indented; 0: in one line. */
static void print_wrapped(const char *text, int columns)
{
	int at = INDENT;

	while (*text) {
		int length = (int)strcspn(text, " ");

		if (columns && at > INDENT && at + 1 + length > columns) {
			printf("\n%*s", INDENT, "");
			at = INDENT;
		} else if (at > INDENT) {
			putchar(' ');
			at++;
		}
		printf("%.*s", length, text);
		at += length;
		text += length + strspn(text + length, " ");
	}
	putchar('\n');
}

static void print_result(const struct term *term, const struct check_result *result)
{
	enum colour colour = status_colour(result->status);

	printf("%s%-7s%s  %-12s  ", term_on(term, colour), check_status_to_string(result->status),
	       term_off(term, colour), result->name);
	print_wrapped(result->found, term->width);
	if (!*result->advice)
		return;
	printf("%*s", INDENT, "");
	print_wrapped(result->advice, term->width);
}

/* Returns 0 or -ENOMEM. */
static int add_json(json_object *array, const struct check_result *result)
{
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_string(object, "check", result->name);
	r |= varlink_json_set_string(object, "status", check_status_to_string(result->status));
	r |= varlink_json_set_string(object, "found", result->found);
	r |= varlink_json_set_string(object, "advice", result->advice);
	return varlink_json_append(array, varlink_json_finish(object, r));
}

/* { "checks": [...] }, taking the array. Returns 0 or -1: no memory. */
static int print_json(const struct ctl *ctl, json_object *array)
{
	_cleanup_json_ json_object *object = json_object_new_object();

	if (varlink_json_set(object, "checks", array) != 0)
		return -1;
	ctl_json_print(object);
	ctl->outcome->told = true;
	return 0;
}

static void print_end(size_t failed, size_t warnings)
{
	if (failed)
		printf("\n%zu of %zu checks failed.\n", failed, doctor_count());
	else if (warnings)
		printf("\nNothing is missing; %zu warning%s.\n", warnings,
		       warnings == 1 ? "" : "s");
	else
		printf("\nNothing is missing.\n");
}

static int run_checks(const struct ctl *ctl, const struct doctor *doctor)
{
	_cleanup_json_ json_object *array = json_object_new_array();
	size_t failed = 0, warnings = 0;
	int r = 0;

	for (size_t i = 0; i < doctor_count(); i++) {
		struct check_result result;

		doctor_check(doctor, i, &result);
		failed += result.status == CHECK_FAILED;
		warnings += result.status == CHECK_WARNING;
		if (ctl->json)
			r |= add_json(array, &result);
		else
			print_result(&ctl->term, &result);
	}
	if (ctl->json)
		r |= print_json(ctl, TAKE_PTR(array));
	else
		print_end(failed, warnings);
	return r != 0 || failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int ctl_doctor(const struct ctl *ctl, char **args)
{
	const struct group *group = getgrnam("kvm");
	struct utsname name;
	struct doctor doctor = {
		.root = "",
		.machine = name.machine,
		.release = name.release,
		.socket = ctl->socket,
		.kvm_gid = group ? group->gr_gid : (gid_t)-1,
		.ops = &doctor_ops,
		.userdata = (void *)ctl,
	};

	if (uname(&name) < 0) {
		fprintf(stderr, "uname: %m\n");
		return EXIT_FAILURE;
	}
	return run_checks(ctl, &doctor);
}
