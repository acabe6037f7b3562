/* elf.h - the interpreter that an ELF file asks for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ELF_H
#define PTOVERLAY_ELF_H

#include <stdbool.h>

/* PT_INTERP of an ELF file into out[PATH_MAX]: its length, 0 without one or when fd is no ELF file. */
int elf_interpreter(int fd, char *out);
/* A program of the 32-bit architecture that this one can run too, all of whose calls would be refused. */
bool elf_is_foreign(int fd);
/* Makes the copy in fd ask for another interpreter. -errno. */
int elf_set_interpreter(int fd, const char *interpreter);

#endif
