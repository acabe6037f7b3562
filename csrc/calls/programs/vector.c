/* vector.c - where the auxiliary vector of a program lies that is about to begin.
 *
 * Rule: the kernel has it on the new stack, behind the environment, and a copy of its own for /proc/PID/auxv, which
 * nobody changes.  fs/binfmt_elf.c, create_elf_tables().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "../../process/proc.h"
#include "../compat_layout.h"
#include "vector.h"

#define STAT_SIZE 1024
#define STACK_FIELD 28      /* start_stack in /proc/PID/stat (proc_pid_stat(5)) */
#define AT_ONCE 64u         /* pointers that are read at a time */
#define ENTRIES_MAX 64u     /* of the vector */

/* Where argc lies; 0: not known. */
static uint64_t find_stack(pid_t tid) {
    char text[STAT_SIZE];
    const char *at = proc_stat_field(tid, STACK_FIELD, text, sizeof text);
    return at ? strtoull(at, NULL, 10) : 0;
}

/* n words of the program's, each into 64 bits. */
static int read_words(const struct vector *vector, uint64_t at, uint64_t *words, size_t n) {
    return vector->narrow ? compat_read_pointers(&vector->memory, at, words, n)
                          : memory_read(&vector->memory, at, words, n * sizeof *words);
}

static size_t word_size(const struct vector *vector) {
    return vector->narrow ? sizeof(uint32_t) : sizeof(uint64_t);
}

/* Where the vector lies, behind the environment; 0: not known. */
static uint64_t find_vector(const struct vector *vector, uint64_t stack) {
    uint64_t argc, pointers[AT_ONCE];
    size_t size = word_size(vector);
    if (!stack || read_words(vector, stack, &argc, 1) < 0)
        return 0;
    uint64_t at = stack + (argc + 2) * size;
    for (;;) {
        if (read_words(vector, at, pointers, AT_ONCE) < 0)
            return 0;
        for (unsigned i = 0; i < AT_ONCE; i++)
            if (!pointers[i])
                return at + (i + 1) * size;
        at += AT_ONCE * size;
    }
}

void vector_begin(struct vector *vector, pid_t tid, bool narrow) {
    *vector = (struct vector){.memory = MEMORY(tid), .narrow = narrow};
    uint64_t first = find_vector(vector, find_stack(tid));
    vector->at = first - 2 * word_size(vector);
    vector->left = first ? ENTRIES_MAX : 0;
}

bool vector_next(struct vector *vector) {
    if (!vector->left)
        return false;
    uint64_t words[2];
    vector->at += 2 * word_size(vector);
    vector->left--;
    if (read_words(vector, vector->at, words, 2) < 0)
        return false;
    vector->entry = (Elf64_auxv_t){.a_type = words[0], .a_un.a_val = words[1]};
    return vector->entry.a_type != AT_NULL;
}

void vector_put(const struct vector *vector) {
    const uint32_t narrow[2] = {(uint32_t)vector->entry.a_type, (uint32_t)vector->entry.a_un.a_val};
    const void *entry = vector->narrow ? (const void *)narrow : &vector->entry;
    (void)memory_write(&vector->memory, vector->at, entry, 2 * word_size(vector));
}
