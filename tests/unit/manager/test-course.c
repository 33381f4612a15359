// SPDX-License-Identifier: GPL-2.0-or-later
/* How a migration went, told from what a VM was after each change; and what is kept of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "manager/course.h"
#include "vm/vm.h"

#define T0 UINT64_C(1000000000)
#define B0 UINT64_C(5000000)
#define S  UINT64_C(1000000)

/* A VM with so many blocks, and what is told of it at so many seconds. */
struct fixture {
	struct memslot slot;
	struct vm vm;
	struct course course;
	struct passage passage;
};

static struct fixture *new_fixture(void)
{
	static struct fixture f;
	static char name[] = "guest";

	f = (struct fixture){
		.slot = { .bytes = 64 << 20, .blocks = 32, .block_bytes = 64 << 20 },
		.vm = { .pid = 42, .table.name = name, .migration.deadline_usec = UINT64_MAX },
	};
	f.vm.progress.survey = (struct survey){ .n_slots = 1, .slots = &f.slot };
	f.vm.progress.blocks = 32;
	f.vm.progress.blocks_split = 5;
	f.vm.progress.tlbis = 7;
	f.vm.progress.tlbi_nsec = 11;
	return &f;
}

/* The clock that people read was set meanwhile: it is of no account for what is waited for. */
static struct course_time at(uint64_t seconds)
{
	return (struct course_time){ T0 + seconds * S, B0 + seconds * S };
}

static bool note(struct fixture *f, enum vm_state state, uint64_t seconds)
{
	f->vm.migration.state = state;
	return course_note(&f->course, &f->vm, at(seconds), &f->passage);
}

/* All of it, or all but some blocks. */
static void split(struct fixture *f, uint64_t left)
{
	f->vm.progress.blocks_split += f->slot.blocks - left;
	f->vm.progress.tlbis += f->slot.blocks - left;
	f->vm.progress.tlbi_nsec += 3;
	f->slot.blocks = f->vm.progress.blocks = left;
	f->vm.progress.stage = left ? VM_STAGE_SPLITTING : VM_STAGE_SPLIT;
}

static void test_ahead(void **state)
{
	struct fixture *f = new_fixture();

	assert_false(note(f, VM_STATE_NONE, 0));
	assert_false(note(f, VM_STATE_SCHEDULED, 10));
	f->vm.migration.deadline_usec = T0 + 30 * S;
	split(f, 0);
	assert_false(note(f, VM_STATE_SCHEDULED, 20));
	assert_false(note(f, VM_STATE_ACTIVE, 40));
	f->vm.migration.dirty_logging = true;
	assert_false(note(f, VM_STATE_ACTIVE, 41));
	assert_true(note(f, VM_STATE_COMPLETED, 50));
	assert_string_equal(f->passage.vm, "guest");
	assert_int_equal(f->passage.pid, 42);
	assert_int_equal(f->passage.outcome, COURSE_COMPLETED);
	assert_int_equal(f->passage.blocks_split, 32);
	assert_int_equal(f->passage.tlbis, 32);
	assert_int_equal(f->passage.tlbi_nsec, 3);
	assert_int_equal(course_get_preparation(&f->passage.course), COURSE_AHEAD);
	assert_int_equal(course_met_deadline(&f->passage.course), 1);
	assert_true(f->passage.course.begun_usec == T0 + 10 * S);
	assert_true(f->passage.course.split_usec == T0 + 20 * S);
	assert_true(f->passage.course.logging_usec == T0 + 41 * S);
	assert_true(f->passage.course.ended_usec == T0 + 50 * S);
	/* Once. */
	assert_false(note(f, VM_STATE_COMPLETED, 60));
	assert_false(course_leave(&f->course, &f->vm, at(70), &f->passage));
}

static void test_partly(void **state)
{
	struct fixture *f = new_fixture();

	f->vm.migration.deadline_usec = T0 + 15 * S;
	assert_false(note(f, VM_STATE_SCHEDULED, 10));
	split(f, 8);
	/* What was logged before is not for the migration. */
	f->vm.migration.dirty_logging = true;
	assert_false(note(f, VM_STATE_SCHEDULED, 12));
	assert_false(note(f, VM_STATE_ACTIVE_SEEN, 20));
	split(f, 0);
	assert_false(note(f, VM_STATE_ACTIVE_SEEN, 21));
	assert_true(note(f, VM_STATE_FAILED, 30));
	assert_int_equal(f->passage.outcome, COURSE_FAILED);
	assert_int_equal(course_get_preparation(&f->passage.course), COURSE_PARTLY);
	assert_int_equal(f->passage.course.blocks_left, 8);
	assert_int_equal(course_met_deadline(&f->passage.course), 0);
}

static void test_found(void **state)
{
	struct fixture *f = new_fixture();

	f->vm.migration.dirty_logging = true;
	assert_false(note(f, VM_STATE_ACTIVE_SEEN, 10));
	assert_true(course_leave(&f->course, &f->vm, at(20), &f->passage));
	assert_int_equal(f->passage.outcome, COURSE_GONE);
	assert_int_equal(course_get_preparation(&f->passage.course), COURSE_FOUND);
	assert_int_equal(f->passage.course.blocks_left, 32);
	assert_int_equal(course_met_deadline(&f->passage.course), -1);
}

/* What was announced may be said to have ended when its VM is gone already. */
static void test_departed(void **state)
{
	struct fixture *f = new_fixture();

	f->vm.migration.dirty_logging = true;
	assert_false(note(f, VM_STATE_ACTIVE, 10));
	f->vm.table.gone = true;
	assert_false(course_leave(&f->course, &f->vm, at(20), &f->passage));
	assert_true(course_get_settling(&f->course) == B0 + 20 * S + COURSE_SETTLE_USEC);
	/* What was under way comes to its end. */
	assert_false(note(f, VM_STATE_ACTIVE, 21));
	assert_true(note(f, VM_STATE_COMPLETED, 25));
	assert_int_equal(f->passage.outcome, COURSE_COMPLETED);
	assert_true(f->passage.course.ended_usec == T0 + 20 * S);
	/* Once. */
	assert_false(course_settle(&f->course, &f->vm, UINT64_MAX, &f->passage));
}

static void test_gone(void **state)
{
	struct fixture *f = new_fixture();

	assert_false(note(f, VM_STATE_SCHEDULED, 10));
	f->vm.table.gone = true;
	assert_false(course_leave(&f->course, &f->vm, at(20), &f->passage));
	assert_false(course_settle(&f->course, &f->vm, B0 + 29 * S, &f->passage));
	assert_true(course_settle(&f->course, &f->vm, B0 + 30 * S, &f->passage));
	assert_int_equal(f->passage.outcome, COURSE_GONE);
}

/* By another boot's time, by none, as an older daemon had it, and by this one's. */
static void test_resumed(void **state)
{
	struct course course = {};

	course_resume(&course, B0);
	assert_true(course_get_settling(&course) == UINT64_MAX);
	course.ended_usec = T0;
	course_resume(&course, B0);
	assert_true(course_get_settling(&course) == B0 + COURSE_SETTLE_USEC);
	course_resume(&course, B0 + 3 * S);
	assert_true(course_get_settling(&course) == B0 + COURSE_SETTLE_USEC);
	course_resume(&course, B0 - 1 * S);
	assert_true(course_get_settling(&course) == B0 - 1 * S + COURSE_SETTLE_USEC);
}

static void set_stall(struct fixture *f, uint64_t n)
{
	f->vm.progress.survey.counters = (struct vm_counters){ .stalls = n,
							       .stall_nsec = n * 100,
							       .stall_max_nsec = n * 10 };
}

/* Each phase has the stalls that the surveys until its end saw. */
static void test_stall(void **state)
{
	struct fixture *f = new_fixture();
	const struct course *c = &f->passage.course;

	set_stall(f, 5);
	assert_false(note(f, VM_STATE_SCHEDULED, 10));
	set_stall(f, 7);
	f->vm.migration.dirty_logging = true;
	assert_false(note(f, VM_STATE_ACTIVE_SEEN, 20));
	set_stall(f, 11);
	f->vm.migration.dirty_logging = false;
	assert_false(note(f, VM_STATE_CANCELLED_SEEN, 30));
	/* What comes after the end is none of it. */
	set_stall(f, 100);
	assert_true(note(f, VM_STATE_COMPLETED, 31));
	assert_int_equal(c->stall_begun.count, 5);
	assert_int_equal(c->stall_logging.count, 7);
	assert_int_equal(c->stall_ended.count, 11);
	assert_int_equal(course_get_stall(c), 400);
	assert_int_equal(f->passage.stall_max_nsec, 1000);
}

static void test_unused(void **state)
{
	struct fixture *f = new_fixture();

	f->vm.migration.deadline_usec = T0 + 100 * S;
	assert_false(note(f, VM_STATE_SCHEDULED, 10));
	/* By its timeout: nobody has to say so. */
	assert_true(note(f, VM_STATE_CANCELLED_SEEN, 20));
	assert_int_equal(f->passage.outcome, COURSE_CANCELLED);
	assert_int_equal(course_get_preparation(&f->passage.course), COURSE_UNUSED);
	/* The deadline was not reached. */
	assert_int_equal(course_met_deadline(&f->passage.course), -1);
}

/* Dirty logging stops, and what that means is said later, or never. */
static void test_said_late(void **state)
{
	struct fixture *f = new_fixture();

	f->vm.migration.dirty_logging = true;
	assert_false(note(f, VM_STATE_ACTIVE_SEEN, 10));
	assert_false(note(f, VM_STATE_CANCELLED_SEEN, 20));
	assert_true(course_get_settling(&f->course) == B0 + 20 * S + COURSE_SETTLE_USEC);
	assert_false(course_settle(&f->course, &f->vm, B0 + 29 * S, &f->passage));
	assert_true(note(f, VM_STATE_COMPLETED, 29));
	assert_int_equal(f->passage.outcome, COURSE_COMPLETED);
	assert_true(f->passage.course.ended_usec == T0 + 20 * S);
	assert_true(course_get_settling(&f->course) == UINT64_MAX);

	assert_false(note(f, VM_STATE_ACTIVE_SEEN, 30));
	assert_false(note(f, VM_STATE_CANCELLED_SEEN, 31));
	assert_true(course_settle(&f->course, &f->vm, B0 + 41 * S, &f->passage));
	assert_int_equal(f->passage.outcome, COURSE_CANCELLED);
	assert_false(note(f, VM_STATE_CANCELLED, 50));

	assert_false(note(f, VM_STATE_ACTIVE_SEEN, 60));
	assert_false(note(f, VM_STATE_CANCELLED_SEEN, 61));
	/* The next one ends it. */
	assert_true(note(f, VM_STATE_SCHEDULED, 62));
	assert_int_equal(f->passage.outcome, COURSE_CANCELLED);
	assert_true(f->passage.course.begun_usec == T0 + 60 * S);
	assert_true(f->course.begun_usec == T0 + 62 * S);
	assert_true(f->course.announced);
}

/* Logged for something else before: what counts is when it began for the migration. */
static void test_logged_twice(void **state)
{
	struct fixture *f = new_fixture();

	assert_false(note(f, VM_STATE_SCHEDULED, 10));
	f->vm.migration.dirty_logging = true;
	assert_false(note(f, VM_STATE_SCHEDULED_SEEN, 11));
	f->vm.migration.dirty_logging = false;
	assert_false(note(f, VM_STATE_SCHEDULED, 12));
	split(f, 0);
	assert_false(note(f, VM_STATE_SCHEDULED, 13));
	f->vm.migration.dirty_logging = true;
	assert_false(note(f, VM_STATE_SCHEDULED_SEEN, 20));
	f->vm.migration.dirty_logging = false;
	assert_false(note(f, VM_STATE_SCHEDULED, 30));
	assert_true(note(f, VM_STATE_COMPLETED, 31));
	assert_true(f->passage.course.logging_usec == T0 + 20 * S);
	assert_int_equal(course_get_preparation(&f->passage.course), COURSE_AHEAD);
	assert_int_equal(f->passage.outcome, COURSE_COMPLETED);
}

static void assert_json(const struct passage *passage, const char *expected)
{
	json_object *object = passage_to_json(passage);

	assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
			    expected);
	json_object_put(object);
}

static void test_json(void **state)
{
	struct passage p = {
		.vm = "guest",
		.pid = 42,
		.course = { .announced = true, .begun_usec = 100, .ended_usec = 400 },
		.outcome = COURSE_CANCELLED,
		.sharer = -1,
	};

	assert_json(&p, "{\"vm\":\"guest\",\"pid\":42,\"outcome\":\"cancelled\","
			"\"prepared\":\"unused\",\"begunUSec\":100,\"endedUSec\":400,"
			"\"blocksSplit\":0,\"tlbis\":0,\"tlbiUSec\":0,"
			"\"stallBefore\":{\"count\":0,\"sumUSec\":0},"
			"\"stallPreparing\":{\"count\":0,\"sumUSec\":0},\"stallMaxUSec\":0}");
	p.course = (struct course){
		.announced = true,
		.begun_usec = 100,
		.split_usec = 200,
		.logging_usec = 300,
		.ended_usec = 400,
		.deadline_usec = 199,
		.blocks_left = 3,
	};
	p.blocks_split = 9;
	p.tlbis = 8;
	p.tlbi_nsec = 5999;
	p.course.stall_begun = (struct course_stall){ 1, 10000 };
	p.course.stall_logging = (struct course_stall){ 3, 30000 };
	p.course.stall_ended = (struct course_stall){ 7, 70000 };
	p.stall_max_nsec = 9999;
	p.outcome = COURSE_COMPLETED;
	p.sharer = 1001;
	assert_json(
		&p,
		"{\"vm\":\"guest\",\"pid\":42,\"outcome\":\"completed\","
		"\"prepared\":\"partly\",\"begunUSec\":100,\"splitUSec\":200,"
		"\"loggingUSec\":300,\"leadUSec\":200,\"blocksLeft\":3,\"endedUSec\":400,"
		"\"deadlineUSec\":199,\"deadlineMet\":false,\"blocksSplit\":9,\"tlbis\":8,\"tlbiUSec\":5,"
		"\"stallBefore\":{\"count\":1,\"sumUSec\":10},"
		"\"stallPreparing\":{\"count\":2,\"sumUSec\":20},"
		"\"stallMigrating\":{\"count\":4,\"sumUSec\":40},\"stallMaxUSec\":9,\"sharer\":1001}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ahead),	  cmocka_unit_test(test_partly),
		cmocka_unit_test(test_found),	  cmocka_unit_test(test_departed),
		cmocka_unit_test(test_gone),	  cmocka_unit_test(test_unused),
		cmocka_unit_test(test_said_late), cmocka_unit_test(test_json),
		cmocka_unit_test(test_stall),	  cmocka_unit_test(test_logged_twice),
		cmocka_unit_test(test_resumed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
