/* sites.c - where the text of a program makes calls, and what is written there so that the stub is asked first.
 *
 *     mov $nr,%eax                     jmp trampoline ──▶  mov $nr,%eax; moves
 *     moves between registers    ▶     (as it was)         call the stub: answered? jump behind the syscall
 *     syscall                          syscall  ◀───────── else jump to it
 *
 * Rules: only the one instruction of five bytes in front is replaced, so whoever stands at the syscall, comes back to
 * it from a signal or jumps to what is between, finds what was there; what is replaced moves registers and nothing
 * else.  Calls that make processes are not touched, but for execve, of which most of $PATH has nothing; those that are
 * cancellation points are another matter (cancel.c), since the stub cannot be unwound.  Trampolines lie in the room
 * behind the text, which is mapped with it and goes with it.  What a file's text should not be, a debugger's breakpoint
 * for example, is left alone.
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
#include <sys/uio.h>
#include <unistd.h>

#include "../process/descriptor.h"
#include "../process/mappings.h"
#include "../process/memory.h"
#include "sites.h"
#include "text.h"

#ifdef __x86_64__
#define MACHINE EM_X86_64
static const int asking[] = {SYS_open,       SYS_openat,     SYS_stat,       SYS_lstat,        SYS_fstat,
                             SYS_newfstatat, SYS_statx,      SYS_access,     SYS_faccessat,    SYS_faccessat2,
                             SYS_readlink,   SYS_readlinkat, SYS_getdents64, SYS_getxattr,     SYS_lgetxattr,
                             SYS_listxattr,  SYS_llistxattr, SYS_execve,     SYS_rt_sigaction, SYS_getcwd};
#else
#define MACHINE EM_NONE
static const int asking[] = {-1};
#endif

#define SITES_MAX 96u
#define TAIL 96u            /* bytes of a trampoline behind what was replaced, at most */
#define ENTRY 8u            /* the address of the stub, in front of the trampolines */
#define AREA_ALIGN 16u
#define PATCH_BEGIN 16u     /* bytes of trampolines that tell them from what was there */
#define FOUND_ROOM (4096u + SITES_MAX * TEXT_JUMP)   /* a page of trampolines, and the jumps */

/* ---- instructions ---- */

static bool is_asking(int32_t nr) {
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
        if (asking[i] == nr)
            return true;
    return false;
}

/* syscall(2) itself, whose number is an argument. */
static bool is_general(const unsigned char *at) {
    static const unsigned char code[] = {0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05}; /* mov 8(%rsp),%r9; syscall */
    return memcmp(at, code, sizeof code) == 0;
}

/* Between a call of another function and the syscall lies hardly anything: the thread was made cancellable. */
static bool is_cancellable(const struct text *file, const struct text_site *site) {
    int32_t nr = text_number(file->bytes + site->at + 1);
    if (file->bytes[site->at] != 0xb8 || (nr != SYS_openat
#ifdef SYS_open
                                          && nr != SYS_open
#endif
                                          ))
        return false;
    for (uint64_t at = site->syscall - TEXT_REACH; at + TEXT_JUMP <= site->at; at++) {
        uint64_t target = text_target(file, at + 1);
        if (file->bytes[at] == 0xe8 && target >= file->offset && target < file->end)
            return true;
    }
    return false;
}

/* Is this what comes to that syscall, and to be replaced? */
static bool is_site(const struct text *file, const struct text_site *site) {
    const unsigned char *code = file->bytes + site->at;
    if (is_general(code))
        return site->at + TEXT_JUMP == site->syscall;
    return code[0] == 0xb8 && !text_is_prefix(code[-1]) && is_asking(text_number(code + 1)) &&
           text_syscall_after(file, site->at) == site->syscall;
}

/* The room for trampolines may not do for all: what is asked least comes last. */
static void put_rare_last(const struct text *file, struct text_site sites[SITES_MAX], size_t n) {
    struct text_site rare[SITES_MAX];
    size_t n_often = 0, n_rare = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *code = file->bytes + sites[i].at;
        if (code[0] == 0xb8 && text_number(code + 1) == SYS_getcwd)
            rare[n_rare++] = sites[i];
        else
            sites[n_often++] = sites[i];
    }
    memcpy(sites + n_often, rare, n_rare * sizeof *rare);
}

/* Text is large, and calls are few: what is looked for is the second byte of their instruction, which is rare. */
static size_t find_sites(const struct text *file, struct text_site sites[SITES_MAX]) {
    size_t n = 0;
    uint64_t begin = file->offset + TEXT_MOVES + TEXT_REACH;
    const unsigned char *at = file->bytes + begin, *end = file->bytes + file->end;
    for (; at < end && n < SITES_MAX && (at = memchr(at, 0x05, (size_t)(end - at))); at++) {
        struct text_site site = {.syscall = (uint64_t)(at - file->bytes) - 1};
        if (!text_is_syscall(at - 1))
            continue;
        for (site.at = site.syscall - TEXT_JUMP; site.at > site.syscall - TEXT_MOVES && !is_site(file, &site);
             site.at--)
            continue;
        bool found = site.at > site.syscall - TEXT_MOVES;
        if (found && is_cancellable(file, &site))
            found = text_find_cancellable(file, site.syscall, &site);
        if (found)
            sites[n++] = site;
    }
    put_rare_last(file, sites, n);
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

/* Where a trampoline is written, and where its first byte is going to be. */
struct place {
    unsigned char *at;
    const unsigned char *begin;
    uint64_t address;
};

static uint64_t place_next(const struct place *place) {
    return place->address + (uint64_t)(place->at - place->begin);
}

static void place_jump(struct place *place, const char *code, size_t length, uint64_t to) {
    put_jump(&place->at, code, length, place_next(place), to);
}

/* If it is not answered the program goes on at `not`. */
static void place_question(struct place *place, uint64_t entry, uint64_t answered, uint64_t not) {
    put(&place->at, "\x48\x8d\x64\x24\x80", 5);                 /* lea -128(%rsp),%rsp: below is the caller's own */
    place_jump(place, "\xff\x15", 2, entry);
    put(&place->at, "\x48\x8d\xa4\x24\x80\x00\x00\x00", 8);     /* lea 128(%rsp),%rsp */
    put(&place->at, "\xe3\x05", 2);                             /* jrcxz: not answered */
    place_jump(place, "\xe9", 1, answered);
    if (not)
        place_jump(place, "\xe9", 1, not);
}

/* Nothing in a register is of use there but what functions keep: the instruction was a call.  A thread with a shadow
 * stack (feature_1 in the C library's tcbhead_t) has to be called from here: no ret leads to where no call was. */
static void place_cancellable(struct place *place, const struct text_site *site, uint64_t moved, uint64_t entry) {
    const uint64_t jump = TEXT_JUMP;
    put(&place->at, "\x64\x48\x8b\x0c\x25\x10\0\0\0\x8b\x89", 11);  /* mov %fs:16,%rcx; mov N(%rcx),%ecx */
    put(&place->at, &site->handling, sizeof site->handling);
    put(&place->at, "\xe3\x05", 2);
    place_jump(place, "\xe9", 1, place_next(place) + jump + 5 + 6 + 8 + 2 + jump); /* over the question */
    place_question(place, entry, site->plain + 2 + moved, 0);
    put(&place->at, "\x64\x8b\x0c\x25\x48\0\0\0\x83\xe1\x02\xe3\x0a", 13);  /* mov %fs:72,%ecx; and $2,%ecx; jrcxz */
    place_jump(place, "\xe8", 1, site->makes + moved);
    place_jump(place, "\xe9", 1, site->at + TEXT_JUMP + moved);
    place_jump(place, "\x48\x8d\x0d", 3, site->at + TEXT_JUMP + moved);         /* lea: it returns to there */
    put(&place->at, "\x51", 1);                                                 /* push %rcx */
    place_jump(place, "\xe9", 1, site->makes + moved);
}

/* address: of the trampoline; entry: where the stub's address is. */
static unsigned char *put_trampoline(unsigned char *at, const struct text *file, const struct text_site *site,
                                     uint64_t address, uint64_t entry) {
    struct place place = {at, at, address};
    uint64_t moved = file->address - file->offset, syscall_at = site->syscall + moved;
    uint64_t from = site->at + (site->makes ? TEXT_JUMP : 0);
    put(&place.at, file->bytes + from, site->syscall - from);
    if (site->makes)
        place_cancellable(&place, site, moved, entry);
    else
        place_question(&place, entry, syscall_at + 2, syscall_at);
    return place.at;
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
static bool add_jumps(struct library *library, const struct text *file, const struct text_site *sites, size_t n,
                      const uint64_t *trampolines) {
    uint64_t moved = file->address - file->offset;
    bool added = true;
    for (size_t i = 0; i < n && added; i++) {
        unsigned char jump[TEXT_JUMP], *at = jump;
        put_jump(&at, "\xe9", 1, sites[i].at + moved, trampolines[i]);
        added = add_patch(library, sites[i].at + moved, file->bytes + sites[i].at, jump, sizeof jump);
    }
    return added;
}

/* As many sites as there is room for. */
static bool add_patches(struct library *library, const struct text *file, const struct text_site *sites, size_t n,
                        uint64_t entry) {
    unsigned char area[4096] = {0}, was[4096] = {0}, *at = area + ENTRY;
    uint64_t trampolines[SITES_MAX], begin = (file->end + AREA_ALIGN - 1) & ~(uint64_t)(AREA_ALIGN - 1);
    uint64_t room = -begin % sizeof area, address = begin + file->address - file->offset;
    size_t fit = 0;
    memcpy(area, &entry, sizeof entry);
    for (; fit < n && (size_t)(at - area) + TEXT_MOVES + TAIL <= room; fit++) {
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

static bool find_text(struct text *file) {
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

static void learn_sites(struct library *library, struct text *file, uint64_t entry) {
    struct text_site sites[SITES_MAX];
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
            struct text file = {.bytes = bytes, .size = (size_t)st.st_size};
            learn_sites(library, &file, entry);
            munmap(bytes, file.size);
        }
    }
    close(fd);
}

/* A program's own text may be tens of megabytes, and the calls are its C library's: so only what has called is looked
 * through, by whichever program it was.  NULL: it has not been, or there is no memory. */
static const struct library *library_of(struct sites *sites, struct lock *lock, const struct mappings *mappings,
                                        const struct mapping *mapping, uint64_t entry, bool calls) {
    char path[PATH_MAX];
    lock_take(lock);
    struct library *library = sites->libraries;
    while (library && (library->dev != mapping->dev || library->ino != mapping->ino))
        library = library->next;
    if (!library && calls && (library = calloc(1, sizeof *library))) {
        library->dev = mapping->dev;
        library->ino = mapping->ino;
        learn_file(library, mappings_path(mappings, mapping, path), entry);
        library->next = sites->libraries;
        sites->libraries = library;
    }
    lock_leave(lock);
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

/* What a library's patches find in a process, one after the other. */
struct found {
    unsigned char bytes[FOUND_ROOM];
    size_t size;
};

/* By one call, though they lie apart: there are dozens.  What cannot be read, or has no room, is not there. */
static void read_found(pid_t tid, const struct library *library, uint64_t moved, struct found *found) {
    struct iovec there[SITES_MAX + 1];
    size_t n = 0, size = 0;
    for (; n < library->n_patches && n <= SITES_MAX && size + library->patches[n].length <= sizeof found->bytes; n++) {
        const struct patch *patch = &library->patches[n];
        there[n] = (struct iovec){(void *)(uintptr_t)(patch->address + moved), patch->length};
        size += patch->length;
    }
    const struct iovec here = {found->bytes, size};
    ssize_t got = process_vm_readv(tid, &here, 1, there, n, 0);
    found->size = got < 0 ? 0 : (size_t)got;
}

/* Have the trampolines been written, which come first? */
static bool is_patched(pid_t tid, const struct library *library, uint64_t moved) {
    unsigned char there[PATCH_BEGIN];
    const struct patch *first = &library->patches[0];
    return memory_read(&MEMORY(tid), first->address + moved, there, sizeof there) == 0 &&
           memcmp(there, first->bytes, sizeof there) == 0;
}

/* The trampolines come first. */
static unsigned patch_text(pid_t tid, int memory, const struct library *library, const struct mapping *mapping) {
    uint64_t page = library->offset & ~(uint64_t)4095,
             moved = mapping->begin - (library->address - (library->offset - page));
    struct found found;
    unsigned n = 0;
    size_t at = 0;
    if (!library->n_sites || mapping->offset != page || is_patched(tid, library, moved))
        return 0;
    read_found(tid, library, moved, &found);
    for (size_t i = 0; i < library->n_patches; at += library->patches[i++].length) {
        const struct patch *patch = &library->patches[i];
        uint64_t address = patch->address + moved;
        bool as_found = at + patch->length <= found.size &&
                        memcmp(found.bytes + at, patch->bytes + patch->length, patch->length) == 0;
        bool written = as_found && address + patch->length <= mapping->end &&
                       pwrite(memory, patch->bytes, patch->length, (off_t)address) == (ssize_t)patch->length;
        if (i == 0 && !written)
            return 0;
        n += i > 0 && written;
    }
    return n;
}

int sites_patch(struct sites *sites, struct lock *lock, pid_t tid, uint64_t entry, uint64_t ip) {
    char path[48];
    struct mappings mappings;
    struct mapping mapping;
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/mem", tid);
    CLOSE_DESCRIPTOR memory = open(path, O_RDWR | O_CLOEXEC);
    int error = memory < 0 ? -errno : mappings_open(&mappings, tid);
    if (error)
        return error;
    while (mappings_next(&mappings, &mapping)) {
        bool calls = ip >= mapping.begin && ip < mapping.end;
        const struct library *library = library_of(sites, lock, &mappings, &mapping, entry, calls);
        n += library ? patch_text(tid, memory, library, &mapping) : 0;
    }
    mappings_close(&mappings);
    return (int)n;
}
