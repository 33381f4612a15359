// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-history.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "conf/conf.h"
#include "manager/course.h"
#include "store/history.h"
#include "manager/manager-private.h"

static void add_fields(struct log_fields *fields, const void *userdata)
{
	const struct passage *p = userdata;
	const struct course *c = &p->course;

	log_fields_add(fields, "EAGERSPLIT_VM=%s", p->vm);
	log_fields_add(fields, "EAGERSPLIT_PID=%i", (int)p->pid);
	log_fields_add(fields, "EAGERSPLIT_OUTCOME=%s", course_outcome_to_string(p->outcome));
	log_fields_add(fields, "EAGERSPLIT_PREPARED=%s",
		       course_preparation_to_string(course_get_preparation(c)));
	if (c->logging_usec)
		log_fields_add(fields, "EAGERSPLIT_BLOCKS_LEFT=%" PRIu64, c->blocks_left);
	log_fields_add(fields, "EAGERSPLIT_BLOCKS_SPLIT=%" PRIu64, p->blocks_split);
	log_fields_add(fields, "EAGERSPLIT_TLBIS=%" PRIu64, p->tlbis);
	log_fields_add(fields, "EAGERSPLIT_TLBI_USEC=%" PRIu64, p->tlbi_nsec / NSEC_PER_USEC);
	if (c->deadline_usec)
		log_fields_add(fields, "EAGERSPLIT_DEADLINE_USEC=%" PRIu64, c->deadline_usec);
}

/* What is to be read of how it was prepared. */
static void format_preparation(char *text, size_t size, const struct course *c)
{
	double lead = (double)(c->logging_usec - min_u64(c->begun_usec, c->logging_usec)) /
		      (double)USEC_PER_SEC;

	switch (course_get_preparation(c)) {
	case COURSE_AHEAD:
		snprintf(text, size,
			 "split when dirty logging began, %.1f s after it was announced", lead);
		break;
	case COURSE_PARTLY:
		snprintf(text, size,
			 "%" PRIu64
			 " block%s left when dirty logging began, %.1f s after it was announced",
			 c->blocks_left, plural(c->blocks_left), lead);
		break;
	case COURSE_FOUND:
		snprintf(text, size,
			 "not announced, %" PRIu64 " block%s left when dirty logging began",
			 c->blocks_left, plural(c->blocks_left));
		break;
	default:
		snprintf(text, size, "dirty logging never began");
	}
}

static void log_passage(const struct passage *p)
{
	const struct log_about about = {
		.priority = LOG_INFO,
		.id = MESSAGE_VM_HISTORY,
		.subject = p->vm,
		.add_fields = add_fields,
		.userdata = p,
	};
	int met = course_met_deadline(&p->course);
	char text[160];

	format_preparation(text, sizeof(text), &p->course);
	log_about(&about,
		  "Its migration has ended, %s: %s; %" PRIu64 " block%s split for %" PRIu64
		  " TLBI%s%s",
		  course_outcome_to_string(p->outcome), text, p->blocks_split,
		  plural(p->blocks_split), p->tlbis, plural(p->tlbis),
		  met < 0 ? ""
		  : met	  ? "; the deadline was met"
			  : "; the deadline was missed");
}

/* Whose VMM may have dirty logging begin and end as often as he likes; see struct passage. */
static int64_t manager_find_sharer(const struct manager *m, const struct vm *vm,
				   const struct passage *p)
{
	int64_t uid = vm->host_vm ? vm->host_vm->uid : -1;

	if (p->course.announced || p->outcome == COURSE_COMPLETED || p->outcome == COURSE_FAILED ||
	    config_trusts(m->config, uid))
		return -1;
	/* All who are not known are one. */
	return uid < 0 ? (uid_t)-1 : uid;
}

static void manager_tell_passage(struct manager *m, const struct vm *vm, struct passage *passage)
{
	passage->sharer = manager_find_sharer(m, vm, passage);
	if (vm_may_log(vm))
		log_passage(passage);
	history_add(m->history, passage);
}

/* Ends come in the order in which they are settled, but for those that the daemon before us has seen. */
void manager_arm_settle(struct manager *m, uint64_t usec)
{
	if (usec >= m->settle_usec)
		return;
	m->settle_usec = usec;
	/* The calls below fail in a forked child only. */
	(void)sd_event_source_set_time(m->settle, usec);
	(void)sd_event_source_set_enabled(m->settle, SD_EVENT_ONESHOT);
}

static struct course_time get_time(void)
{
	return (struct course_time){
		.realtime_usec = clock_usec(CLOCK_REALTIME),
		.boottime_usec = clock_usec(CLOCK_BOOTTIME),
	};
}

void manager_note_course(struct manager *m, struct vm *vm)
{
	struct passage passage;

	if (course_note(&vm->course, vm, get_time(), &passage))
		manager_tell_passage(m, vm, &passage);
	manager_arm_settle(m, course_get_settling(&vm->course));
}

void manager_end_course(struct manager *m, struct vm *vm)
{
	struct passage passage;

	if (course_leave(&vm->course, vm, get_time(), &passage))
		manager_tell_passage(m, vm, &passage);
}

bool manager_settle_course(struct manager *m, struct vm *vm, uint64_t boottime_usec)
{
	struct passage passage;

	if (!course_settle(&vm->course, vm, boottime_usec, &passage))
		return false;
	manager_tell_passage(m, vm, &passage);
	return true;
}

int manager_keep_history(struct manager *m, const char *folder)
{
	return history_open(m->history, folder);
}

const struct history *manager_get_history(const struct manager *m)
{
	return m->history;
}
