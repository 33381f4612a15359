/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What VMs are called, and which is meant. A name that was told, by whoever may change something,
 * is its VM's alone. Behind that comes what systemd-machined calls it, and then what its VMM does,
 * by its command line or in its own registration, where that is of a user who is trusted. What two
 * VMMs claim is neither's.
 */
#ifndef EAGERSPLITD_MANAGER_NAMES_H
#define EAGERSPLITD_MANAGER_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct guest_names;
struct manager;
struct vm;
struct vm_record;

/*
 * The VM that is meant by that name, id or UUID, or the only one of the process that has
 * that pid; NULL: none, or it could be two.
 */
struct vm *manager_find_vm(struct manager *m, const char *text);

/* Whether @vm, be it gone, is meant by that name, id, UUID or pid, whoever else may be. */
bool vm_is_meant(const struct vm *vm, const char *text);

/* The VM that was told to be called that, or NULL. */
struct vm *manager_find_told(struct manager *m, const char *name);

/*
 * Has @vm called @name from now on, by the word of who may change something. 0, -EEXIST: another
 * one was told to be, or -ENOMEM.
 */
int manager_tell_name(struct manager *m, struct vm *vm, const char *name);

/* The same by the word of user @uid and of nobody else: nothing is done unless both are trusted. */
void manager_claim_name(struct manager *m, struct vm *vm, const char *name, uid_t uid);

/* What @record says of it. */
void manager_resume_names(struct manager *m, struct vm *vm, const struct vm_record *record);

/* Asks what others call @vm. */
void manager_look_for_name(struct manager *m, struct vm *vm);

/* The same of all, as other users may be trusted. */
void manager_look_for_names(struct manager *m);

/* @vm leaves the table: it is meant by none of its names any more. */
void manager_forget_names(struct vm *vm);

/* And these may be others'. */
void manager_pass_names_on(struct manager *m, const struct vm *vm);

/* See machined_new(). */
void manager_on_machine_name(void *userdata, pid_t pid, const char *name);

/* See namer_new(). */
void manager_on_guest_names(void *userdata, pid_t pid, const struct guest_names *names);

#endif /* EAGERSPLITD_MANAGER_NAMES_H */
