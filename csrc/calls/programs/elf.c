/* elf.c - the interpreter that an ELF file asks for.
 *
 * Rules: the file is the tracee's and may say anything: every offset and size is checked as in fs/binfmt_elf.c, and a
 * file that the kernel would refuse is left for the kernel to refuse.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../arch/arch.h"
#include "elf.h"

#define HEADERS_MAX (65536u / sizeof(Elf64_Phdr))

/* One program header of either class. */
struct segment {
    uint32_t type;
    uint64_t offset, size;
    off_t at;               /* of the header in the file */
};

struct elf {
    const struct elf_file *file;
    bool wide;              /* ELFCLASS64 */
    unsigned count;
    uint64_t table;
};

bool elf_read(struct elf_file *file, int fd) {
    ssize_t n = pread(fd, file->head, sizeof file->head, 0);
    file->fd = fd;
    file->length = n > 0 ? (size_t)n : 0;
    memset(file->head + file->length, 0, sizeof file->head - file->length);
    return n >= 0;
}

static bool read_at(const struct elf_file *file, void *out, size_t size, uint64_t offset) {
    if (offset > INT64_MAX)
        return false;
    if (offset >= file->length || size > file->length - (size_t)offset)
        return pread(file->fd, out, size, (off_t)offset) == (ssize_t)size;
    memcpy(out, file->head + offset, size);
    return true;
}

static bool read_header(const struct elf_file *file, struct elf *elf) {
    union {
        unsigned char ident[EI_NIDENT];
        Elf32_Ehdr narrow;
        Elf64_Ehdr wide;
    } header;
    memset(&header, 0, sizeof header);
    if (!read_at(file, &header, sizeof header.narrow, 0) || memcmp(header.ident, ELFMAG, SELFMAG) != 0)
        return false;
    elf->file = file;
    elf->wide = header.ident[EI_CLASS] == ELFCLASS64;
    if (elf->wide && !read_at(file, &header, sizeof header.wide, 0))
        return false;
    size_t entry = elf->wide ? header.wide.e_phentsize : header.narrow.e_phentsize;
    elf->count = elf->wide ? header.wide.e_phnum : header.narrow.e_phnum;
    elf->table = elf->wide ? header.wide.e_phoff : header.narrow.e_phoff;
    return entry == (elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) && elf->count <= HEADERS_MAX;
}

static bool read_segment(const struct elf *elf, unsigned i, struct segment *segment) {
    Elf32_Phdr narrow;
    Elf64_Phdr wide;
    size_t size = elf->wide ? sizeof wide : sizeof narrow;
    uint64_t at = elf->table + (uint64_t)i * size;
    if (!read_at(elf->file, elf->wide ? (void *)&wide : (void *)&narrow, size, at))
        return false;
    *segment = elf->wide ? (struct segment){wide.p_type, wide.p_offset, wide.p_filesz, (off_t)at}
                         : (struct segment){narrow.p_type, narrow.p_offset, narrow.p_filesz, (off_t)at};
    return true;
}

static bool find_interpreter(const struct elf *elf, struct segment *segment) {
    for (unsigned i = 0; i < elf->count; i++) {
        if (!read_segment(elf, i, segment))
            return false;
        if (segment->type == PT_INTERP)
            return segment->size >= 2 && segment->size <= PATH_MAX;
    }
    return false;
}

/* The machine of a 32-bit file, 0: it is none. */
static unsigned narrow_machine(const struct elf_file *file) {
    Elf32_Ehdr header;
    bool narrow = read_at(file, &header, sizeof header, 0) && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
                  header.e_ident[EI_CLASS] == ELFCLASS32;
    return narrow ? header.e_machine : EM_NONE;
}

static bool is_compat_machine(unsigned machine) {
    return ARCH_COMPAT == AUDIT_ARCH_I386 && machine == EM_386;
}

bool elf_is_compat(const struct elf_file *file) {
    return is_compat_machine(narrow_machine(file));
}

bool elf_is_foreign(const struct elf_file *file) {
    unsigned machine = narrow_machine(file);
    return !is_compat_machine(machine) && (machine == EM_386 || machine == EM_X86_64 || machine == EM_ARM);
}

int elf_interpreter(const struct elf_file *file, char *out) {
    struct elf elf;
    struct segment segment;
    if (!read_header(file, &elf) || !find_interpreter(&elf, &segment) ||
        !read_at(file, out, segment.size, segment.offset) || out[segment.size - 1] != '\0')
        return 0;
    return (int)strlen(out);
}

static int write_number(const struct elf *elf, off_t at, uint64_t number) {
    uint32_t narrow = (uint32_t)number;
    ssize_t size = elf->wide ? sizeof number : sizeof narrow;
    ssize_t written = pwrite(elf->file->fd, elf->wide ? (void *)&number : (void *)&narrow, (size_t)size, at);
    return written == size ? 0 : -EIO;
}

/* The new name goes to the end of the file and the header is pointed there.  p_vaddr stays: what is mapped there, the
 * old name, is what the dynamic linker takes for its own. */
int elf_set_interpreter(int fd, const char *interpreter) {
    struct elf elf;
    struct segment segment;
    struct stat st;
    struct elf_file file;
    size_t size = strlen(interpreter) + 1;
    if (!elf_read(&file, fd) || !read_header(&file, &elf) || !find_interpreter(&elf, &segment) || fstat(fd, &st) < 0)
        return -ENOEXEC;
    if (!elf.wide && st.st_size > UINT32_MAX - PATH_MAX)
        return -ENOEXEC;
    if (pwrite(fd, interpreter, size, st.st_size) != (ssize_t)size)
        return -EIO;
    off_t at = segment.at + (off_t)(elf.wide ? offsetof(Elf64_Phdr, p_offset) : offsetof(Elf32_Phdr, p_offset));
    int error = write_number(&elf, at, (uint64_t)st.st_size);
    at = segment.at + (off_t)(elf.wide ? offsetof(Elf64_Phdr, p_filesz) : offsetof(Elf32_Phdr, p_filesz));
    return error < 0 ? error : write_number(&elf, at, size);
}
