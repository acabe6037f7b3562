/* elf.h - the interpreter that an ELF file asks for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ELF_H
#define PTOVERLAY_ELF_H

#include <stdbool.h>
#include <stddef.h>

/* A file, and what it begins with: most have all that is asked for there. */
#define ELF_HEAD 1024u
struct elf_file {
    int fd;
    size_t length;          /* of head; zeroes follow */
    char head[ELF_HEAD];
};
/* False, with errno: it cannot be read. */
bool elf_read(struct elf_file *file, int fd);
/* PT_INTERP of an ELF file into out[PATH_MAX]: its length, 0 without one or when it is no ELF file. */
int elf_interpreter(const struct elf_file *file, char *out);
/* A program of the 32-bit architecture whose calls are carried out (compat.h). */
bool elf_is_compat(const struct elf_file *file);
/* One of another that this machine can run too, all of whose calls would be refused. */
bool elf_is_foreign(const struct elf_file *file);
/* Makes the copy in fd ask for another interpreter. -errno. */
int elf_set_interpreter(int fd, const char *interpreter);

#endif
