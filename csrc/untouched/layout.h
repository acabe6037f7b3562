/* layout.h - what the stub in a tracee and the supervisor agree upon: addresses, the table, the notes.
 *
 * The supervisor writes the table, which tracees see read-only.  The stub makes a reading call first, and looks
 * afterwards whether it may show what the kernel said:
 *
 *     the directory, as it was named ──▶ entry of this generation ──▶ is the last name in it touched?
 *
 * Rules: an entry counts while `generation` is what it was made in; a bit of `touched` is set before a change is done,
 * and never cleared, so that what is set by chance makes a call slow and not wrong.  Freestanding: also compiled into
 * the stub.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_LAYOUT_H
#define PTOVERLAY_UNTOUCHED_LAYOUT_H

#include <stdint.h>

/* In the tracee; below where anything is mapped by itself, and outside of what sanitizers keep for themselves. */
#define STUB_BASE 0x7e9000000000ul
#define STUB_CODE_SIZE 0x8000ul /* x86_64.ld asserts it */
#define STUB_STATE (STUB_BASE + 0x40000ul) /* struct stub_state: private, a fork's child has a copy */
#define STUB_CWD (STUB_BASE + 0x10000ul)  /* struct stub_cwd: private, a fork's child has zeros */
#define STUB_NOTES (STUB_BASE + 0x20000ul) /* struct stub_notes: shared by all tracees, which write it */
#define STUB_TABLE (STUB_BASE + 0x100000ul) /* struct stub_table: shared, read-only */
#define STUB_END (STUB_BASE + 0x1000000ul)
#define STUB_PAGE 4096ul
#define STUB_ROUND(size) (((size) + STUB_PAGE - 1) & ~(STUB_PAGE - 1))

#define STUB_MAGIC 0x31627574736f7470ul /* "ptostub1" */

/* The first bytes of the code. */
struct stub_head {
    uint64_t magic;
    uint64_t entry;      /* where trampolines call */
    uint64_t passing_ip; /* behind the one system call instruction that the filter lets pass */
    uint64_t boot; /* maps the rest: arguments: descriptor of the table, of the notes, stub_state.report; ends with a
                    * trap */
    uint64_t size; /* bytes of code */
};

#define STUB_SEEN 16384u /* powers of two */
#define STUB_PLAIN 4096u
#define STUB_PLAIN_FILE ((1ul << 20) - 1) /* the low bits of one in `plain` */
#define STUB_TAUGHT 16384u
#define STUB_KINDS 32u

/* How much of an array of words is used, which begins with STUB_FIRST and grows with what is noted: each page costs a
 * program a fault or two, and most programs ask about little.  What was noted before may be lost by it. */
#define STUB_FIRST 256u
struct stub_growth {
    uint32_t noted, doubled;
};

struct stub_state {
    uint64_t off; /* not 0: nothing is answered in this process */
    uint32_t missed[STUB_KINDS]; /* by call number: calls in a row that were not answered */
    uint32_t strange; /* opens in a row of names that were not in `plain` */
    uint32_t report, answered; /* not 0: after STUB_MANY answers this place of `reached`, less 1, is told */
    struct stub_growth seen_growth, plain_growth;
    uint64_t seen[STUB_SEEN]; /* marks of inodes that untouched names led to */
    uint64_t plain[STUB_PLAIN]; /* hashes of names that were no symlinks, mixed with the generation, and in the low bits
                                 * the bit of `opened` and 1: of a file that may be opened; 0: of another one */
};

/* The current directory; generation 0: not known; STUB_CWD_OFF: not to be known any more. */
#define STUB_CWD_OFF UINT64_MAX
struct stub_cwd {
    uint64_t generation; /* of the table, in which `directory` was written */
    uint64_t directory;
    uint64_t owner; /* the process whose directory it is; 0: nobody's yet */
    uint64_t changes; /* counts the supervisor's writes */
};

#define STUB_OPENED_BITS (1u << 19)
#define STUB_CALLS 512u
#define STUB_PROGRAMS 256u
#define STUB_MANY 16u /* calls after which a program gets a stub */
struct stub_notes {
    uint64_t opened[STUB_OPENED_BITS / 64]; /* inodes of files that stubs have opened, or are about to */
    uint64_t answered[STUB_CALLS]; /* by call number, with STUB_COUNTS */
    uint32_t reached[STUB_PROGRAMS]; /* by program: stubs that have answered so much */
    uint64_t differences; /* with STUB_CHECKS: answers that the supervisor would have given otherwise */
    uint64_t compared;
    uint64_t different_call;
    char different_path[512]; /* the first of them */
};

/* Options of the table. */
#define STUB_OFF 1u /* nothing is answered any more */
#define STUB_LINKED 2u /* a file with several names has been copied up or removed: such files are not answered */
#define STUB_COUNTS 4u /* answers are counted in the notes */
#define STUB_CHECKS 8u /* each answer is asked of the supervisor, too, and compared */
#define STUB_NO_RELATIVE 16u /* current directories cannot be known */
#define STUB_KEPT 64u /* nothing is answered any more about what only the upper has */
#define STUB_RECORDS 128u /* what is asked about is to be told once: only names that were noted are answered */
#define STUB_GONE 32u /* what the kernel finds may be an error in the view: not to be written where it stays */

#define STUB_OWN 0x80000000u /* in the number of a directory: only the upper has it */
#define STUB_BY_INODE 0xffffffffu /* a base: the text is struct stub_inode; need: not 0: its list may be shown */
#define STUB_BY_DESCRIPTOR (UINT64_C(1) << 63)
struct stub_inode {
    uint64_t dev, ino;
};
/* Where the supervisor's own lists have their positions: VIEW_POSITIONS and VIEW_POSITIONS_NEAR. */
#define STUB_POSITIONS (UINT64_C(1) << 43)
#define STUB_POSITIONS_NEAR (UINT64_C(1) << 30)

#define STUB_TOUCHED_BITS (1u << 19)
#define STUB_NOTED (1u << 16)
#define STUB_ENTRIES (1u << 14)
#define STUB_POOL (1u << 20)
#define STUB_TWICE 8u
#define STUB_PATH 4096u /* bytes behind the last text that can be compared with one */

/* A directory by the text that named it, or the whole of a path. */
struct stub_entry {
    uint64_t hash; /* of base and text; 0: free, and the end of a search */
    uint64_t
        need; /* the name that must not be touched for a native answer about what the text itself names; 0: none is */
    uint64_t generation;
    uint32_t base; /* 0: the root; else the directory that the text starts in */
    uint32_t directory; /* what the text names; 0: no directory, or nothing */
    uint32_t text; /* in the pool */
    uint32_t length;
    uint32_t real_length, real; /* in the pool, 0: the kernel comes there by the text; of a directory that both have:
                                 * the part that the kernel does not come to, the upper's may be told later */
};

struct stub_table {
    uint64_t generation; /* of all entries; raised when what a text leads to may be another */
    uint64_t inodes; /* of all marks; raised when an inode that the lower has shows otherwise */
    uint64_t options;
    uint64_t n_twice, twice[STUB_TWICE]; /* devices that show in two places, more than STUB_TWICE: each may: an inode
                                          * of them tells nothing of a place; written before any stub has the table */
    uint64_t n_entries, pool_used;
    uint64_t touched[STUB_TOUCHED_BITS / 64];
    uint64_t taught[STUB_TAUGHT]; /* marks of inodes, no directories, that show as they are */
    uint64_t noted[STUB_NOTED]; /* of questions that the supervisor has recorded: stub_question(), 0: free */
    struct stub_entry entries[STUB_ENTRIES];
    char pool[STUB_POOL];
};

static inline int stub_is_twice(const struct stub_table *table, uint64_t dev) {
    for (uint64_t i = 0; i < table->n_twice && i < STUB_TWICE; i++)
        if (table->twice[i] == dev)
            return 1;
    return table->n_twice > STUB_TWICE;
}

#define STUB_STATE_SIZE STUB_ROUND(sizeof(struct stub_state))
#define STUB_CWD_SIZE STUB_ROUND(sizeof(struct stub_cwd))
#define STUB_NOTES_SIZE STUB_ROUND(sizeof(struct stub_notes))
#define STUB_TABLE_SIZE STUB_ROUND(sizeof(struct stub_table))

#define STUB_FACTOR 0xff51afd7ed558ccdul

static inline uint64_t stub_word(const char *p) {
    uint64_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return word;
}

/* Not 0: one of the bytes is; the lowest bit set is of the first. */
static inline uint64_t stub_has_zero(uint64_t word) {
    return (word - 0x0101010101010101ul) & ~word & 0x8080808080808080ul;
}

/* hash: mixed already, or a constant: of two plain numbers (7 and 12, 1 and 10) only what differs would count. */
static inline uint64_t stub_mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * STUB_FACTOR;
    return hash ^ hash >> 32;
}

/* All bytes of a text of less than 8, some of them twice. */
static inline uint64_t stub_short(const char *text, uint32_t length) {
    const unsigned char *byte = (const unsigned char *)text;
    uint32_t first, last;
    if (length >= sizeof first) {
        __builtin_memcpy(&first, text, sizeof first);
        __builtin_memcpy(&last, text + length - sizeof last, sizeof last);
        return first | (uint64_t)last << 32;
    }
    return length ? byte[0] | (uint64_t)byte[length / 2] << 8 | (uint64_t)byte[length - 1] << 16 : 0;
}

/* Of a text in, or a name of, a directory.  Never 0.  The last 8 bytes are taken as they lie, some of them twice. */
static inline uint64_t stub_hash(uint64_t base, const char *text, uint32_t length) {
    uint64_t hash = stub_mix(0x9e3779b97f4a7c15ul * (length + 1ul), base);
    for (uint32_t i = 0; i + 8 < length; i += 8)
        hash = stub_mix(hash, stub_word(text + i));
    hash = stub_mix(hash, length < 8 ? stub_short(text, length) : stub_word(text + length - 8));
    return hash ? hash : 1;
}

/* What the answer depends on beside the text. */
#define STUB_ASKS_LINK 1u /* a symlink at the end is not followed */
#define STUB_ASKS_CONTENT 2u

/* Of a question about a text in a directory of that number, 0: the root.  Never 0. */
static inline uint64_t stub_question(uint64_t base, const char *text, uint32_t length, uint64_t generation,
                                     unsigned asks) {
    uint64_t hash = stub_mix(stub_hash(base, text, length), generation << 2 | asks);
    return hash ? hash : 1;
}

/* As the base of a text that begins at a descriptor. */
static inline uint64_t stub_base_of(uint64_t dev, uint64_t ino) {
    return stub_mix(stub_mix(1, dev), ino) | STUB_BY_DESCRIPTOR;
}

static inline uint64_t stub_mark(uint64_t dev, uint64_t ino, uint64_t inodes) {
    uint64_t mark = stub_mix(stub_mix(stub_mix(1, dev), ino), inodes);
    return mark ? mark : 1;
}

static inline uint32_t stub_opened_bit(uint64_t dev, uint64_t ino) {
    return (uint32_t)(stub_mix(stub_mix(1, dev), ino) >> 20) % STUB_OPENED_BITS;
}

/* The two bits of a name. */
static inline uint32_t stub_touched_bit(uint64_t hash, unsigned which) {
    return (uint32_t)(which ? hash >> 40 : hash >> 8) % STUB_TOUCHED_BITS;
}

#endif
