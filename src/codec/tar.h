/* tar: archives as streams. A pull reader (ustar, pax, GNU long names) and a writer (ustar, pax
 * when needed).
 *
 * Reader. The caller feeds bytes as they come and gets one event at a time; it never seeks, and
 * holds one block, one name and one pax header, whatever the archive's size. Only regular files
 * become entries; directories, links and devices are passed over and counted. What is damaged ends
 * the stream with an error: after a bad header checksum nothing that follows can be trusted. What
 * is well-formed but can't be stored (a name that is too long or empty, a sparse file) is an entry
 * with `refused` set: its bytes are passed over, and the next entry is read as usual.
 *
 *     while ((ev = tar_reader_next(r, in, &used, &data)) > 0) { in = slice_sub(in, used, in.len);
 * ... }
 *
 * Names are bytes: never a path of this machine. Sizes are checked: octal and GNU base-256, up to
 * 2^62. Formats: POSIX pax(1) "ustar interchange format" and "pax header", and the GNU tar manual's
 * "Basic Tar Format".
 *
 * No I/O, no allocation but in tar_reader_new; one fiber at a time; never yields.
 */
#ifndef KT_CODEC_TAR_H
#define KT_CODEC_TAR_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define TAR_BLOCK 512u
#define TAR_NAME_MAX 1024u /* bytes, as S3's longest key */
#define TAR_PAX_MAX 32768u /* bytes of one pax header or GNU long name */

enum tar_event {
    TAR_MORE,      /* everything was taken: feed more */
    TAR_ENTRY,     /* a regular file starts: reader->entry */
    TAR_DATA,      /* *ret_data is a run of its bytes, inside `in` */
    TAR_ENTRY_END, /* all of its bytes were given */
    TAR_END,       /* end of the archive; what follows is padding */
};

struct tar_entry {
    char name[TAR_NAME_MAX + 1]; /* NUL-terminated, without a leading "./" */
    size_t name_len;
    uint64_t size; /* bytes of data */
    uint64_t mtime_s;
    int refused;     /* 0, or the KT_ERR_* why this entry gives no data */
    const char *why; /* static text for refused */
};

struct tar_reader;

struct tar_reader *tar_reader_new(void);
void tar_reader_free(struct tar_reader *r); /* NULL is fine */

/* Takes bytes from `in` up to the next event; call it until TAR_MORE, also with an empty `in`. Sets
 * *ret_used always, *ret_data for TAR_DATA. Returns enum tar_event, or -KT_ERR_PROTO for a damaged
 * archive (final). Refused entries get TAR_ENTRY and TAR_ENTRY_END, no TAR_DATA. */
int tar_reader_next(struct tar_reader *r, struct slice in, size_t *ret_used,
                    struct slice *ret_data) KT_MUST_CHECK;
/* The entry of the last TAR_ENTRY; valid until the next. */
const struct tar_entry *tar_reader_entry(const struct tar_reader *r);
/* The input has ended. Errors: EOF when that cuts the archive. (A missing end mark between entries
 * is forgiven.) */
int tar_reader_finish(const struct tar_reader *r) KT_MUST_CHECK;
/* Members passed over so far because they are no regular files. */
uint64_t tar_reader_skipped(const struct tar_reader *r);

/* Appends the header (with a pax header before it when ustar can't say it) of a regular file.
 * Name: 1..TAR_NAME_MAX bytes without NUL. Errors: INVALID, TOO_LARGE (out's limit). */
int tar_write_header(struct buf *out, struct slice name, uint64_t size,
                     uint64_t mtime_s) KT_MUST_CHECK;
/* Zero bytes that must follow `size` bytes of data. */
static inline size_t tar_padding(uint64_t size)
{
    return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}
/* Appends the end mark. Errors: TOO_LARGE. */
int tar_write_end(struct buf *out) KT_MUST_CHECK;

#endif
