// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A plugin for qemu-system-aarch64 that counts executed TLBI instructions by
 * kind and by phase (see phase.h), so that what a kernel says of its TLB
 * invalidations can be checked from outside of it.
 *
 * Arguments: out=FILE. When the emulator ends, FILE gets one line a phase in
 * which there was any TLBI: "phase=N kind=count ...".
 *
 * The counts are exact with multi-threaded TCG: each vCPU's thread counts in
 * an array of its own, and they are summed when all of them have stopped.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../phase.h"
#include "qemu-plugin-abi.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* SYS #op1, C8, CRm, #op2: TLBI, whatever op1, CRm, op2 and Rt say. */
#define TLBI_MASK 0xfff8f000u
#define TLBI_BITS 0xd5088000u
#define HINT_MASK 0xfffff01fu
#define HINT_BITS 0xd503201fu

struct tlbi_kind {
	const char *name;
	uint8_t op1;
	uint8_t crm;
	uint8_t op2;
};

static const struct tlbi_kind kinds[] = {
	{ "vmalle1os", 0, 1, 0 },    { "vae1os", 0, 1, 1 },	{ "aside1os", 0, 1, 2 },
	{ "vaae1os", 0, 1, 3 },	     { "vale1os", 0, 1, 5 },	{ "vaale1os", 0, 1, 7 },
	{ "rvae1is", 0, 2, 1 },	     { "rvaae1is", 0, 2, 3 },	{ "rvale1is", 0, 2, 5 },
	{ "rvaale1is", 0, 2, 7 },    { "vmalle1is", 0, 3, 0 },	{ "vae1is", 0, 3, 1 },
	{ "aside1is", 0, 3, 2 },     { "vaae1is", 0, 3, 3 },	{ "vale1is", 0, 3, 5 },
	{ "vaale1is", 0, 3, 7 },     { "rvae1os", 0, 5, 1 },	{ "rvaae1os", 0, 5, 3 },
	{ "rvale1os", 0, 5, 5 },     { "rvaale1os", 0, 5, 7 },	{ "rvae1", 0, 6, 1 },
	{ "rvaae1", 0, 6, 3 },	     { "rvale1", 0, 6, 5 },	{ "rvaale1", 0, 6, 7 },
	{ "vmalle1", 0, 7, 0 },	     { "vae1", 0, 7, 1 },	{ "aside1", 0, 7, 2 },
	{ "vaae1", 0, 7, 3 },	     { "vale1", 0, 7, 5 },	{ "vaale1", 0, 7, 7 },
	{ "ipas2e1is", 4, 0, 1 },    { "ripas2e1is", 4, 0, 2 }, { "ipas2le1is", 4, 0, 5 },
	{ "ripas2le1is", 4, 0, 6 },  { "alle2os", 4, 1, 0 },	{ "vae2os", 4, 1, 1 },
	{ "alle1os", 4, 1, 4 },	     { "vale2os", 4, 1, 5 },	{ "vmalls12e1os", 4, 1, 6 },
	{ "rvae2is", 4, 2, 1 },	     { "rvale2is", 4, 2, 5 },	{ "alle2is", 4, 3, 0 },
	{ "vae2is", 4, 3, 1 },	     { "alle1is", 4, 3, 4 },	{ "vale2is", 4, 3, 5 },
	{ "vmalls12e1is", 4, 3, 6 }, { "ipas2e1os", 4, 4, 0 },	{ "ipas2e1", 4, 4, 1 },
	{ "ripas2e1", 4, 4, 2 },     { "ripas2e1os", 4, 4, 3 }, { "ipas2le1os", 4, 4, 4 },
	{ "ipas2le1", 4, 4, 5 },     { "ripas2le1", 4, 4, 6 },	{ "ripas2le1os", 4, 4, 7 },
	{ "rvae2os", 4, 5, 1 },	     { "rvale2os", 4, 5, 5 },	{ "rvae2", 4, 6, 1 },
	{ "rvale2", 4, 6, 5 },	     { "alle2", 4, 7, 0 },	{ "vae2", 4, 7, 1 },
	{ "alle1", 4, 7, 4 },	     { "vale2", 4, 7, 5 },	{ "vmalls12e1", 4, 7, 6 },
};

/* The slot after the named ones: a TLBI that the table does not know. */
#define N_KINDS (ARRAY_SIZE(kinds) + 1)

struct vcpu_counts {
	uint64_t n[PHASE_MAX + 1][N_KINDS];
};

/* What the callbacks share; they get no pointer of ours that could hold it. */
static struct {
	struct vcpu_counts *vcpus;
	int n_vcpus;
	atomic_uint phase;
	atomic_uint digits;
	char *out;
	void *insn_data;
} tlbi_count;

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_ABI;

/* The emulator looks at the version before it calls anything. */
__attribute__((constructor)) static void choose_version(void)
{
	tlbi_count.insn_data = dlsym(RTLD_DEFAULT, "qemu_plugin_insn_data");
	if (!dlsym(RTLD_DEFAULT, PLUGIN_ABI_1_SYMBOL))
		qemu_plugin_version = PLUGIN_ABI_COPIES;
}

static size_t kind_of(uint32_t opcode)
{
	unsigned int op1 = (opcode >> 16) & 7, crm = (opcode >> 8) & 15, op2 = (opcode >> 5) & 7;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].op1 == op1 && kinds[i].crm == crm && kinds[i].op2 == op2)
			break;
	}
	return i;
}

static void tlbi_executed(unsigned int vcpu, void *data)
{
	tlbi_count.vcpus[vcpu].n[atomic_load(&tlbi_count.phase)][(uintptr_t)data]++;
}

static void hint_executed(unsigned int vcpu, void *data)
{
	unsigned int hint = (uintptr_t)data;

	(void)vcpu;
	if (hint == PHASE_HINT_COMMIT)
		atomic_store(&tlbi_count.phase, atomic_load(&tlbi_count.digits) & PHASE_MAX);
	else
		atomic_store(&tlbi_count.digits,
			     atomic_load(&tlbi_count.digits) << 4 | (hint - PHASE_HINT_DIGIT));
}

static uint32_t opcode_of(const struct qemu_plugin_insn *insn)
{
	uint32_t opcode = 0;

	if (qemu_plugin_version >= PLUGIN_ABI_COPIES)
		((qemu_plugin_insn_data_3 *)tlbi_count.insn_data)(insn, &opcode, sizeof(opcode));
	else
		memcpy(&opcode, ((qemu_plugin_insn_data_1 *)tlbi_count.insn_data)(insn),
		       sizeof(opcode));
	return opcode;
}

static void insn_translated(struct qemu_plugin_insn *insn)
{
	uint32_t opcode, hint;

	if (qemu_plugin_insn_size(insn) != sizeof(opcode))
		return;
	opcode = opcode_of(insn);
	if ((opcode & TLBI_MASK) == TLBI_BITS) {
		qemu_plugin_register_vcpu_insn_exec_cb(insn, tlbi_executed, PLUGIN_CB_NO_REGS,
						       (void *)(uintptr_t)kind_of(opcode));
	} else if ((opcode & HINT_MASK) == HINT_BITS) {
		hint = (opcode >> 5) & 127;
		if (hint >= PHASE_HINT_COMMIT)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, hint_executed, PLUGIN_CB_NO_REGS, (void *)(uintptr_t)hint);
	}
}

static void tb_translated(qemu_plugin_id id, struct qemu_plugin_tb *tb)
{
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (i = 0; i < n; i++)
		insn_translated(qemu_plugin_tb_get_insn(tb, i));
}

static void print_phase(FILE *file, unsigned int phase)
{
	uint64_t sum;
	bool any = false;
	size_t kind;
	int i;

	for (kind = 0; kind < N_KINDS; kind++) {
		for (sum = 0, i = 0; i < tlbi_count.n_vcpus; i++)
			sum += tlbi_count.vcpus[i].n[phase][kind];
		if (!sum)
			continue;
		if (!any)
			fprintf(file, "phase=%u", phase);
		any = true;
		fprintf(file, " %s=%llu", kind < ARRAY_SIZE(kinds) ? kinds[kind].name : "unknown",
			(unsigned long long)sum);
	}
	if (any)
		fputc('\n', file);
}

static void at_exit(qemu_plugin_id id, void *data)
{
	FILE *file = fopen(tlbi_count.out, "we");
	unsigned int phase;

	(void)id;
	(void)data;
	if (!file) {
		fprintf(stderr, "tlbi-count: %s: %s\n", tlbi_count.out, strerror(errno));
		return;
	}
	for (phase = 0; phase <= PHASE_MAX; phase++)
		print_phase(file, phase);
	/* So that a reader can tell a complete file from a truncated one. */
	fputs("end\n", file);
	if (ferror(file) | fclose(file))
		fprintf(stderr, "tlbi-count: %s: write error\n", tlbi_count.out);
}

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id id, const struct qemu_plugin_info *info,
				      int argc, char **argv)
{
	if (info->version.min > qemu_plugin_version || info->version.cur < qemu_plugin_version ||
	    strcmp(info->target_name, "aarch64") || !info->system_emulation) {
		fprintf(stderr,
			"tlbi-count: needs qemu-system-aarch64 with plugin ABI %d; this is %s with ABI %d to %d\n",
			qemu_plugin_version, info->target_name, info->version.min,
			info->version.cur);
		return -1;
	}
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "tlbi-count: wants one argument, out=FILE\n");
		return -1;
	}
	tlbi_count.out = strdup(argv[0] + 4);
	tlbi_count.n_vcpus = info->system.max_vcpus;
	tlbi_count.vcpus = calloc(tlbi_count.n_vcpus, sizeof(*tlbi_count.vcpus));
	if (!tlbi_count.out || !tlbi_count.vcpus) {
		fprintf(stderr, "tlbi-count: out of memory\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, tb_translated);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	fprintf(stderr, "tlbi-count: counting TLBIs of %d CPUs; plugin ABI %d\n",
		tlbi_count.n_vcpus, qemu_plugin_version);
	return 0;
}
