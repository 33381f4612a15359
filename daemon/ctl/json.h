/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_JSON_H
#define EAGERSPLITD_CTL_JSON_H

/*
 * What eagersplitd tells, read from JSON. What is missing or of another type reads as
 * NULL, "", 0 or false: a daemon of another version is no reason to fail.
 */

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include "ctl/text.h"

/*
 * The member of that name: as it is, as a string, as a number, as a boolean. What they give
 * belongs to the object.
 */
json_object *ctl_json_member(json_object *object, const char *name);
const char *ctl_json_string(json_object *object, const char *name);
int64_t ctl_json_int(json_object *object, const char *name);
bool ctl_json_bool(json_object *object, const char *name);

/* One line on stdout. */
void ctl_json_print(json_object *object);

/* A VM; the strings belong to the JSON, but for the names, which are escaped for people. */
struct ctl_vm {
	char name[TEXT_ESCAPED_MAX];
	char claimed[TEXT_ESCAPED_MAX]; /* that another VM claims, too; "": none */
	const char *uuid; /* "": none */
	int64_t uid; /* -1: not known */
	int64_t pid;
	const char *migration;
	const char *stage;
	uint64_t bytes;
	uint64_t blocks;
	uint64_t block_bytes;
	uint64_t blocks_split;
	uint64_t tlbis;
	bool has_eta;
	uint64_t eta_usec;
	bool has_deadline;
	uint64_t deadline_usec;
	bool late;
	const char *error; /* "": none */
	bool gone; /* told by a watch: this is what it was last */
};

/* Reads a VM. */
void ctl_vm_from_json(struct ctl_vm *vm, json_object *object);

/* The elements of an array; 0 of what is none. */
size_t ctl_json_length(json_object *array);

/* A count that cannot be negative; 0: there is none. */
uint64_t ctl_json_count(json_object *object, const char *name);

#endif /* EAGERSPLITD_CTL_JSON_H */
