/* sites.c - where the text of a program makes calls, and what is written there so that the stub is asked first.
 *
 *     mov $nr,%eax                     jmp trampoline ──▶  mov $nr,%eax; moves
 *     moves between registers    ▶     (as it was)         call the stub: answered? jump behind the syscall
 *     syscall                          syscall  ◀───────── else jump to it
 *
 * Rules: only the one instruction of five bytes in front is replaced, so whoever stands at the syscall, comes back to
 * it from a signal or jumps to what is between, finds what was there; what is replaced moves registers and nothing
 * else.  Calls that make processes are not touched, nor those that are cancellation points, since the stub cannot be
 * unwound.  Trampolines lie in the room behind the text, which is mapped with it and goes with it.  What a file's text
 * should not be, a debugger's breakpoint for example, is left alone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../process/proc.h"
#include "sites.h"

#ifdef __x86_64__
#define MACHINE EM_X86_64
static const int reading[] = {SYS_open,       SYS_openat,     SYS_stat,      SYS_lstat,     SYS_fstat,
                              SYS_newfstatat, SYS_statx,      SYS_access,    SYS_faccessat, SYS_faccessat2,
                              SYS_readlink,   SYS_readlinkat, SYS_getdents64};
#else
#define MACHINE EM_NONE
static const int reading[] = {-1};
#endif

#define SITES_MAX 96u
#define MOVES_MAX 48u       /* bytes from the replaced instruction to the syscall */
#define JUMP 5u             /* bytes of a jump, and of what it replaces */
#define TAIL 31u            /* bytes of a trampoline behind what was replaced */
#define ENTRY 8u            /* the address of the stub, in front of the trampolines */
#define AREA_ALIGN 16u
#define CANCEL_REACH 48u    /* bytes from the call that makes a thread cancellable to the syscall */

/* A file as it is mapped here. */
struct file {
    const unsigned char *bytes;
    size_t size;
    uint64_t offset, end;   /* of the text, in the file */
    uint64_t address;       /* of the text's first byte */
};

struct site {
    uint64_t at, syscall;   /* offsets in the file */
};

/* ---- instructions ---- */

static int32_t number_at(const unsigned char *at) {
    int32_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

static bool is_reading(int32_t nr) {
    for (size_t i = 0; i < sizeof reading / sizeof *reading; i++)
        if (reading[i] == nr)
            return true;
    return false;
}

static bool is_prefix(unsigned char byte) {
    return (byte & 0xf0) == 0x40;
}

static bool is_syscall(const unsigned char *at) {
    return at[0] == 0x0f && at[1] == 0x05;
}

/* Length of an instruction that only changes registers, 0: of another one. */
static unsigned move_length(const unsigned char *at) {
    unsigned prefix = is_prefix(at[0]);
    const unsigned char *code = at + prefix;
    bool registers = (code[1] & 0xc0) == 0xc0;
    switch (code[0]) {
    case 0x89: /* mov */
    case 0x31: /* xor */
    case 0x63: /* movsxd */
        return registers ? prefix + 2 : 0;
    case 0x8b:
        if (registers)
            return prefix + 2;
        return (code[1] & 0xc7) == 0x44 && code[2] == 0x24 ? prefix + 4 : 0; /* mov N(%rsp),%reg */
    case 0xc7:
        return (code[1] & 0xf8) == 0xc0 ? prefix + 6 : 0;
    default:
        return code[0] >= 0xb8 && code[0] <= 0xbf && !(prefix && at[0] & 8) ? prefix + 5 : 0;
    }
}

/* From an instruction to the syscall behind it, if there are only moves between; 0: there is none. */
static uint64_t syscall_after(const struct file *file, uint64_t at) {
    uint64_t end = at + MOVES_MAX;
    while (at <= end && at + 16 < file->end) {
        if (is_syscall(file->bytes + at))
            return at;
        unsigned length = move_length(file->bytes + at);
        if (!length)
            return 0;
        at += length;
    }
    return 0;
}

/* syscall(2) itself, whose number is an argument. */
static bool is_general(const unsigned char *at) {
    static const unsigned char code[] = {0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05}; /* mov 8(%rsp),%r9; syscall */
    return memcmp(at, code, sizeof code) == 0;
}

/* Between a call of another function and the syscall lies hardly anything: the thread was made cancellable. */
static bool is_cancellable(const struct file *file, const struct site *site) {
    int32_t nr = number_at(file->bytes + site->at + 1);
    if (file->bytes[site->at] != 0xb8 || (nr != SYS_openat
#ifdef SYS_open
                                          && nr != SYS_open
#endif
                                          ))
        return false;
    for (uint64_t at = site->syscall - CANCEL_REACH; at + JUMP <= site->at; at++) {
        uint64_t target = at + JUMP + (uint64_t)(int64_t)number_at(file->bytes + at + 1);
        if (file->bytes[at] == 0xe8 && target >= file->offset && target < file->end)
            return true;
    }
    return false;
}

/* Is this what comes to that syscall, and to be replaced? */
static bool is_site(const struct file *file, const struct site *site) {
    const unsigned char *code = file->bytes + site->at;
    if (is_general(code))
        return site->at + JUMP == site->syscall;
    return code[0] == 0xb8 && !is_prefix(code[-1]) && is_reading(number_at(code + 1)) &&
           syscall_after(file, site->at) == site->syscall && !is_cancellable(file, site);
}

/* Text is large, and calls are few: what is looked for is the second byte of their instruction, which is rare. */
static size_t find_sites(const struct file *file, struct site sites[SITES_MAX]) {
    size_t n = 0;
    uint64_t begin = file->offset + MOVES_MAX + CANCEL_REACH;
    const unsigned char *at = file->bytes + begin, *end = file->bytes + file->end;
    for (; at < end && n < SITES_MAX && (at = memchr(at, 0x05, (size_t)(end - at))); at++) {
        struct site site = {.syscall = (uint64_t)(at - file->bytes) - 1};
        if (!is_syscall(at - 1))
            continue;
        for (site.at = site.syscall - JUMP; site.at > site.syscall - MOVES_MAX && !is_site(file, &site); site.at--)
            continue;
        if (site.at > site.syscall - MOVES_MAX)
            sites[n++] = site;
    }
    return n;
}

/* ---- what is written ---- */

static void put(unsigned char **at, const void *bytes, size_t length) {
    memcpy(*at, bytes, length);
    *at += length;
}

/* A jump or call of which `code` are the first bytes, at address `from`. */
static void put_jump(unsigned char **at, const char *code, size_t length, uint64_t from, uint64_t to) {
    int32_t distance = (int32_t)(to - (from + length + sizeof distance));
    put(at, code, length);
    put(at, &distance, sizeof distance);
}

/* address: of the trampoline; entry: where the stub's address is. */
static unsigned char *put_trampoline(unsigned char *at, const struct file *file, const struct site *site,
                                     uint64_t address, uint64_t entry) {
    const unsigned char *begin = at;
    uint64_t moved = file->address - file->offset, syscall_at = site->syscall + moved;
    put(&at, file->bytes + site->at, site->syscall - site->at);
    put(&at, "\x48\x8d\x64\x24\x80", 5);                    /* lea -128(%rsp),%rsp: below is the caller's own */
    put_jump(&at, "\xff\x15", 2, address + (uint64_t)(at - begin), entry);
    put(&at, "\x48\x8d\xa4\x24\x80\x00\x00\x00", 8);        /* lea 128(%rsp),%rsp */
    put(&at, "\xe3\x05", 2);                                /* jrcxz: not answered */
    put_jump(&at, "\xe9", 1, address + (uint64_t)(at - begin), syscall_at + 2);
    put_jump(&at, "\xe9", 1, address + (uint64_t)(at - begin), syscall_at);
    return at;
}

static bool add_patch(struct library *library, uint64_t address, const unsigned char *was, const unsigned char *bytes,
                      size_t length) {
    struct patch *patches = reallocarray(library->patches, library->n_patches + 1, sizeof *patches);
    if (!patches)
        return false;
    library->patches = patches;
    unsigned char *copy = malloc(2 * length);   /* what is written, and what is there before */
    if (!copy)
        return false;
    memcpy(copy, bytes, length);
    memcpy(copy + length, was, length);
    patches[library->n_patches++] = (struct patch){.address = address, .length = length, .bytes = copy};
    return true;
}

/* The jumps; the trampolines' area begins at offset `area` in the file. */
static bool add_jumps(struct library *library, const struct file *file, const struct site *sites, size_t n,
                      const uint64_t *trampolines) {
    uint64_t moved = file->address - file->offset;
    bool added = true;
    for (size_t i = 0; i < n && added; i++) {
        unsigned char jump[JUMP], *at = jump;
        put_jump(&at, "\xe9", 1, sites[i].at + moved, trampolines[i]);
        added = add_patch(library, sites[i].at + moved, file->bytes + sites[i].at, jump, sizeof jump);
    }
    return added;
}

/* As many sites as there is room for. */
static bool add_patches(struct library *library, const struct file *file, const struct site *sites, size_t n,
                        uint64_t entry) {
    unsigned char area[4096] = {0}, was[4096] = {0}, *at = area + ENTRY;
    uint64_t trampolines[SITES_MAX], begin = (file->end + AREA_ALIGN - 1) & ~(uint64_t)(AREA_ALIGN - 1);
    uint64_t room = -begin % sizeof area, address = begin + file->address - file->offset;
    size_t fit = 0;
    memcpy(area, &entry, sizeof entry);
    for (; fit < n && (size_t)(at - area) + MOVES_MAX + TAIL <= room; fit++) {
        trampolines[fit] = address + (uint64_t)(at - area);
        at = put_trampoline(at, file, &sites[fit], trampolines[fit], address);
    }
    size_t length = (size_t)(at - area), there = begin < file->size ? file->size - begin : 0;
    memcpy(was, file->bytes + (there ? begin : 0), there < length ? there : length);
    if (!fit || !add_patch(library, address, was, area, length) || !add_jumps(library, file, sites, fit, trampolines))
        return false;
    library->n_sites = (unsigned)fit;
    return true;
}

/* ---- files ---- */

static bool find_text(struct file *file) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)(const void *)file->bytes;
    if (file->size < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != MACHINE ||
        header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phoff % sizeof(uint64_t) ||
        header->e_phoff > file->size || header->e_phnum > (file->size - header->e_phoff) / sizeof(Elf64_Phdr))
        return false;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(const void *)(file->bytes + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++, segment++) {
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
            continue;
        file->offset = segment->p_offset;
        file->address = segment->p_vaddr;
        file->end = segment->p_offset + segment->p_filesz;
        return file->end > file->offset && file->end <= file->size && !(segment->p_flags & PF_W) &&
               segment->p_filesz == segment->p_memsz;
    }
    return false;
}

static void learn_sites(struct library *library, struct file *file, uint64_t entry) {
    struct site sites[SITES_MAX];
    if (!find_text(file))
        return;
    library->offset = file->offset;
    library->address = file->address;
    size_t n = find_sites(file, sites);
    if (n && !add_patches(library, file, sites, n, entry))
        library->n_sites = 0;
}

static void learn_file(struct library *library, const char *path, uint64_t entry) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_dev == library->dev && st.st_ino == library->ino &&
        st.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) {
            struct file file = {.bytes = bytes, .size = (size_t)st.st_size};
            learn_sites(library, &file, entry);
            munmap(bytes, file.size);
        }
    }
    close(fd);
}

/* NULL: out of memory. */
static const struct library *library_of(struct sites *sites, pthread_mutex_t *lock, dev_t dev, ino_t ino,
                                        const char *path, uint64_t entry) {
    pthread_mutex_lock(lock);
    struct library *library = sites->libraries;
    while (library && (library->dev != dev || library->ino != ino))
        library = library->next;
    if (!library && (library = calloc(1, sizeof *library))) {
        library->dev = dev;
        library->ino = ino;
        learn_file(library, path, entry);
        library->next = sites->libraries;
        sites->libraries = library;
    }
    pthread_mutex_unlock(lock);
    return library;
}

void sites_clear(struct sites *sites) {
    while (sites->libraries) {
        struct library *library = sites->libraries;
        sites->libraries = library->next;
        for (size_t i = 0; i < library->n_patches; i++)
            free(library->patches[i].bytes);
        free(library->patches);
        free(library);
    }
}

/* ---- a process ---- */

/* A line of /proc/PID/maps that is of a file's text. */
struct mapping {
    uint64_t begin, end, offset;
    dev_t dev;
    ino_t ino;
    char *path;
};

static bool read_mapping(char *line, struct mapping *mapping) {
    unsigned major, minor;
    int path = 0;
    if (sscanf(line, "%lx-%lx r-xp %lx %x:%x %lu %n", &mapping->begin, &mapping->end, &mapping->offset, &major, &minor,
               &mapping->ino, &path) < 6 ||
        !path || line[path] != '/')
        return false;
    mapping->dev = makedev(major, minor);
    mapping->path = line + path;
    mapping->path[strcspn(mapping->path, "\n")] = '\0';
    return true;
}

static bool is_as_found(int memory, const struct patch *patch, uint64_t address) {
    unsigned char bytes[4096];
    return patch->length <= sizeof bytes &&
           pread(memory, bytes, patch->length, (off_t)address) == (ssize_t)patch->length &&
           memcmp(bytes, patch->bytes + patch->length, patch->length) == 0;
}

/* The trampolines come first. */
static unsigned patch_text(int memory, const struct library *library, const struct mapping *mapping) {
    uint64_t page = library->offset & ~(uint64_t)4095,
             moved = mapping->begin - (library->address - (library->offset - page));
    unsigned n = 0;
    if (!library->n_sites || mapping->offset != page)
        return 0;
    for (size_t i = 0; i < library->n_patches; i++) {
        const struct patch *patch = &library->patches[i];
        uint64_t address = patch->address + moved;
        bool written = address + patch->length <= mapping->end && is_as_found(memory, patch, address) &&
                       pwrite(memory, patch->bytes, patch->length, (off_t)address) == (ssize_t)patch->length;
        if (i == 0 && !written)
            return 0;
        n += i > 0 && written;
    }
    return n;
}

int sites_patch(struct sites *sites, pthread_mutex_t *lock, pid_t tid, uint64_t entry) {
    char path[48], *line = NULL;
    size_t room = 0;
    struct mapping mapping;
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/mem", tid);
    int memory = open(path, O_RDWR | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/maps", tid);
    FILE *maps = memory < 0 ? NULL : fopen(path, "re");
    while (maps && getline(&line, &room, maps) > 0) {
        if (!read_mapping(line, &mapping))
            continue;
        const struct library *library = library_of(sites, lock, mapping.dev, mapping.ino, mapping.path, entry);
        n += library ? patch_text(memory, library, &mapping) : 0;
    }
    free(line);
    int error = maps ? 0 : -errno;
    if (maps)
        (void)fclose(maps);
    if (memory >= 0)
        close(memory);
    return error ? error : (int)n;
}
