/* tar: the reader is a machine over 512-byte blocks, the writer fills in one header.
 *
 *     HEAD --'0'--> DATA --> PAD --> HEAD          regular file
 *     HEAD --'x','L'--> META --> PAD --> HEAD      what the next header means
 *     HEAD --others--> SKIP --> PAD --> HEAD       passed over
 *     HEAD --zeros--> END                          the rest is padding
 *
 * Failure modes: a header that fails its checksum, a size that overflows, a malformed or oversized
 * pax header end the stream (state BAD is final). An entry that can't be stored goes through SKIP
 * with its events kept.
 */
#include "codec/tar.h"

#include "base/assert.h"
#include "base/checked.h"
#include "base/enc.h"
#include <stdio.h>
#include <string.h>

#define SIZE_LIMIT (UINT64_C(1) << 62)

/* Byte positions in a header block (POSIX ustar). */
enum {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_CHECKSUM = 148,
    AT_TYPE = 156,
    AT_MAGIC = 257,
    AT_PREFIX = 345,
};

enum state { HEAD, DATA, META, SKIP, PAD, END, BAD };

struct tar_reader {
    enum state state;
    uint8_t block[TAR_BLOCK]; /* header being gathered */
    size_t have;              /* bytes of it */
    uint64_t left;            /* of the data, meta or skipped bytes */
    uint32_t pad;             /* padding after them */
    bool in_entry;            /* TAR_ENTRY was given, TAR_ENTRY_END is due */
    uint64_t skipped;
    struct tar_entry entry;

    /* what pax and GNU headers say of the next member */
    uint8_t meta[TAR_PAX_MAX];
    size_t meta_len;
    uint8_t meta_type;
    bool has_name, name_too_long, has_size, sparse, has_pax;
    char next_name[TAR_NAME_MAX + 1];
    size_t next_name_len;
    uint64_t next_size;
};

struct tar_reader *tar_reader_new(void)
{
    return mem_zalloc(sizeof(struct tar_reader));
}

void tar_reader_free(struct tar_reader *r)
{
    mem_free(r);
}

const struct tar_entry *tar_reader_entry(const struct tar_reader *r)
{
    return &r->entry;
}

uint64_t tar_reader_skipped(const struct tar_reader *r)
{
    return r->skipped;
}

static int damaged(struct tar_reader *r, const char *why)
{
    r->state = BAD;
    return err_set(KT_ERR_PROTO, "damaged tar: %s", why);
}

/* ---- numbers ---- */

/* Octal with blanks or NULs around it, or GNU base-256. */
static bool parse_number(const uint8_t *p, size_t len, uint64_t *ret)
{
    uint64_t v = 0;
    if (p[0] & 0x80) {
        if (p[0] & 0x40)
            return false; /* negative */
        v = p[0] & 0x3f;
        for (size_t i = 1; i < len; i++) {
            if (v > (UINT64_MAX >> 8))
                return false;
            v = v << 8 | p[i];
        }
        *ret = v;
        return true;
    }
    size_t i = 0;
    while (i < len && p[i] == ' ')
        i++;
    for (; i < len && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0'); /* at most 12 digits: 36 bits */
    for (; i < len; i++)
        if (p[i] != ' ' && p[i] != 0)
            return false;
    *ret = v;
    return true;
}

/* The sum of all bytes with the checksum field as blanks; old tars summed signed bytes. */
static bool checksum_ok(const uint8_t *b)
{
    uint64_t want;
    uint32_t sum = 0;
    int32_t signed_sum = 0;
    if (!parse_number(b + AT_CHECKSUM, 8, &want))
        return false;
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        uint8_t c = i >= AT_CHECKSUM && i < AT_CHECKSUM + 8 ? ' ' : b[i];
        sum += c;
        signed_sum += (int8_t)c;
    }
    return want == sum || (signed_sum >= 0 && want == (uint32_t)signed_sum);
}

static bool all_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

/* ---- what comes before a member: pax and GNU headers ---- */

static void set_next_name(struct tar_reader *r, struct slice v)
{
    while (v.len && v.p[v.len - 1] == 0)
        v.len--;
    r->has_name = true;
    r->name_too_long = v.len > TAR_NAME_MAX;
    r->next_name_len = KT_MIN(v.len, (size_t)TAR_NAME_MAX);
    if (r->next_name_len)
        memcpy(r->next_name, v.p, r->next_name_len);
}

static bool pax_record(struct tar_reader *r, struct slice key, struct slice value)
{
    if (slice_eq(key, SLICE_LIT("path"))) {
        set_next_name(r, value);
    } else if (slice_eq(key, SLICE_LIT("size"))) {
        if (!dec_to_u64(value, &r->next_size))
            return false;
        r->has_size = true;
    } else if (slice_has_prefix(key, SLICE_LIT("GNU.sparse."))) {
        r->sparse = true;
    }
    return true;
}

/* Records are "LEN KEY=VALUE\n", LEN counting the whole record. */
static bool parse_pax(struct tar_reader *r, struct slice s)
{
    while (s.len) {
        ptrdiff_t blank = slice_find(s, ' ');
        uint64_t len;
        if (blank < 1 || !dec_to_u64(slice_sub(s, 0, (size_t)blank), &len))
            return false;
        if (len > s.len || len < (uint64_t)blank + 3 || s.p[len - 1] != '\n')
            return false;
        struct slice rec = slice_sub(s, (size_t)blank + 1, (size_t)len - (size_t)blank - 2);
        ptrdiff_t eq = slice_find(rec, '=');
        if (eq < 1)
            return false;
        if (!pax_record(r, slice_sub(rec, 0, (size_t)eq), slice_sub(rec, (size_t)eq + 1, rec.len)))
            return false;
        s = slice_sub(s, (size_t)len, s.len);
    }
    return true;
}

/* A pax ('x', 'g'), GNU long name ('L') or long link ('K') has been gathered. */
static bool meta_done(struct tar_reader *r)
{
    struct slice s = slice_of(r->meta, r->meta_len);
    if (r->meta_type == 'L')
        set_next_name(r, s);
    else if (r->meta_type == 'x') {
        r->has_pax = true;
        return parse_pax(r, s);
    }
    return true;
}

static void forget_meta(struct tar_reader *r)
{
    r->has_name = r->name_too_long = r->has_size = r->sparse = r->has_pax = false;
}

/* ---- a member's header ---- */

static size_t field_len(const uint8_t *p, size_t max)
{
    const uint8_t *nul = memchr(p, 0, max);
    return nul ? (size_t)(nul - p) : max;
}

static void refuse(struct tar_entry *e, int code, const char *why)
{
    if (e->refused)
        return;
    e->refused = code;
    e->why = why;
}

/* prefix + "/" + name, or what a pax or GNU header said, without leading "./". */
static void entry_name(struct tar_reader *r)
{
    struct tar_entry *e = &r->entry;
    const uint8_t *b = r->block;
    if (r->has_name) {
        memcpy(e->name, r->next_name, r->next_name_len);
        e->name_len = r->next_name_len;
    } else {
        size_t prefix = memcmp(b + AT_MAGIC, "ustar\0", 6) == 0 ? field_len(b + AT_PREFIX, 155) : 0;
        size_t name = field_len(b + AT_NAME, 100);
        memcpy(e->name, b + AT_PREFIX, prefix);
        if (prefix)
            e->name[prefix++] = '/';
        memcpy(e->name + prefix, b + AT_NAME, name);
        e->name_len = prefix + name;
    }
    while (e->name_len >= 2 && e->name[0] == '.' && e->name[1] == '/') {
        memmove(e->name, e->name + 2, e->name_len - 2);
        e->name_len -= 2;
    }
    e->name[e->name_len] = 0;
    if (r->name_too_long)
        refuse(e, KT_ERR_TOO_LARGE, "name is longer than 1024 bytes");
    if (e->name_len == 0 || memchr(e->name, 0, e->name_len))
        refuse(e, KT_ERR_INVALID, "name is empty or holds a NUL");
}

static bool is_file_type(uint8_t type)
{
    return type == '0' || type == 0 || type == '7' || type == 'S';
}

/* Directories, symbolic links and devices have no data, whatever their size says; a hard link has
 * some only in pax archives. */
static bool type_has_data(const struct tar_reader *r, uint8_t type)
{
    return !(type >= '2' && type <= '6') && !(type == '1' && !r->has_pax);
}

static int start_file(struct tar_reader *r, uint8_t type, uint64_t size)
{
    struct tar_entry *e = &r->entry;
    memset(e, 0, offsetof(struct tar_entry, name) + 1);
    e->refused = 0;
    e->why = NULL;
    e->size = size;
    if (!parse_number(r->block + AT_MTIME, 12, &e->mtime_s))
        e->mtime_s = 0;
    entry_name(r);
    if (type == 'S' || r->sparse)
        refuse(e, KT_ERR_UNSUPPORTED, "sparse files are not supported");
    forget_meta(r);
    /* Version 7 marked a directory by its trailing slash. */
    if (type == 0 && e->name_len && e->name[e->name_len - 1] == '/') {
        r->skipped++;
        r->left = 0;
        r->pad = 0;
        r->state = SKIP;
        return TAR_MORE;
    }
    r->in_entry = true;
    r->state = e->refused ? SKIP : DATA;
    return TAR_ENTRY;
}

/* One whole header block is in r->block. Returns TAR_ENTRY, TAR_MORE to go on, TAR_END or an error.
 */
static int on_header(struct tar_reader *r)
{
    const uint8_t *b = r->block;
    r->have = 0;
    if (b[0] == 0 && all_zero(b, TAR_BLOCK)) {
        r->state = END;
        return TAR_END;
    }
    uint64_t size;
    if (!checksum_ok(b))
        return damaged(r, "a header fails its checksum");
    if (!parse_number(b + AT_SIZE, 12, &size))
        return damaged(r, "a size is not a number");
    uint8_t type = b[AT_TYPE];
    bool meta = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    if (!meta && r->has_size)
        size = r->next_size;
    if (size > SIZE_LIMIT)
        return damaged(r, "a size is beyond all limits");
    if (!meta && !type_has_data(r, type))
        size = 0;
    r->left = size;
    r->pad = (uint32_t)tar_padding(size);
    if (is_file_type(type))
        return start_file(r, type, size);
    if (meta) {
        if (size > TAR_PAX_MAX)
            return damaged(r, "a pax header or long name is over 32 KiB");
        r->meta_type = type;
        r->meta_len = 0;
        r->state = META;
        return TAR_MORE;
    }
    forget_meta(r);
    r->skipped++;
    r->state = SKIP;
    return TAR_MORE;
}

/* ---- the machine ---- */

/* Takes up to `want` bytes of *in. */
static struct slice take(struct slice *in, uint64_t want)
{
    struct slice got = slice_sub(*in, 0, want < in->len ? (size_t)want : in->len);
    *in = slice_sub(*in, got.len, in->len);
    return got;
}

static int step_head(struct tar_reader *r, struct slice *in)
{
    struct slice got = take(in, TAR_BLOCK - r->have);
    if (got.len)
        memcpy(r->block + r->have, got.p, got.len);
    r->have += got.len;
    return r->have == TAR_BLOCK ? on_header(r) : TAR_MORE;
}

/* The bytes of a member are through; its padding is next. */
static int member_done(struct tar_reader *r)
{
    bool was_entry = r->in_entry;
    if (r->state == META && !meta_done(r))
        return damaged(r, "malformed pax header");
    r->in_entry = false;
    r->left = r->pad;
    r->state = PAD;
    return was_entry ? TAR_ENTRY_END : TAR_MORE;
}

static int step_body(struct tar_reader *r, struct slice *in, struct slice *ret_data)
{
    if (r->left == 0)
        return member_done(r);
    struct slice got = take(in, r->left);
    r->left -= got.len;
    if (r->state == META) {
        kt_assert(r->meta_len + got.len <= sizeof(r->meta));
        if (got.len)
            memcpy(r->meta + r->meta_len, got.p, got.len);
        r->meta_len += got.len;
    }
    if (r->state == DATA && got.len) {
        *ret_data = got;
        return TAR_DATA;
    }
    return TAR_MORE;
}

static int step_pad(struct tar_reader *r, struct slice *in)
{
    r->left -= take(in, r->left).len;
    if (r->left == 0)
        r->state = HEAD;
    return TAR_MORE;
}

static int step_end(struct slice *in)
{
    *in = slice_sub(*in, in->len, 0);
    return TAR_END;
}

int tar_reader_next(struct tar_reader *r, struct slice in, size_t *ret_used, struct slice *ret_data)
{
    const size_t given = in.len;
    int ev = TAR_MORE;
    *ret_data = (struct slice){0};
    for (;;) {
        enum state before = r->state;
        size_t len_before = in.len;
        if (r->state == HEAD)
            ev = step_head(r, &in);
        else if (r->state == PAD)
            ev = step_pad(r, &in);
        else if (r->state == END)
            ev = step_end(&in);
        else if (r->state == BAD)
            ev = err_set(KT_ERR_PROTO, "damaged tar");
        else
            ev = step_body(r, &in, ret_data);
        if (ev != TAR_MORE || (before == r->state && len_before == in.len))
            break;
    }
    *ret_used = given - in.len;
    return ev;
}

int tar_reader_finish(const struct tar_reader *r)
{
    bool between = (r->state == HEAD && r->have == 0) || r->state == PAD;
    if (r->state == END || (between && !r->has_name && !r->has_pax))
        return 0;
    return err_set(KT_ERR_EOF, "the tar archive ends in the middle");
}

/* ---- writer ---- */

static void put_octal(uint8_t *at, size_t width, uint64_t v)
{
    at[width - 1] = 0;
    for (size_t i = width - 1; i-- > 0; v >>= 3)
        at[i] = (uint8_t)('0' + (v & 7));
}

/* Where a long name splits into prefix and name; 0: fits as it is, -1: it doesn't. */
static ptrdiff_t split_name(struct slice name)
{
    if (name.len <= 100)
        return 0;
    for (size_t i = KT_MIN(name.len - 1, (size_t)155); i > 0; i--)
        if (name.p[i] == '/' && name.len - i - 1 <= 100 && name.len - i - 1 > 0)
            return (ptrdiff_t)i;
    return -1;
}

static void fill_header(uint8_t *b, uint8_t type, struct slice name, uint64_t size,
                        uint64_t mtime_s)
{
    memset(b, 0, TAR_BLOCK);
    ptrdiff_t split = split_name(name);
    if (split > 0) {
        memcpy(b + AT_PREFIX, name.p, (size_t)split);
        name = slice_sub(name, (size_t)split + 1, name.len);
    }
    memcpy(b + AT_NAME, name.p, KT_MIN(name.len, (size_t)100));
    put_octal(b + AT_MODE, 8, 0644);
    put_octal(b + AT_UID, 8, 0);
    put_octal(b + AT_GID, 8, 0);
    put_octal(b + AT_SIZE, 12, size >> 33 ? 0 : size);
    put_octal(b + AT_MTIME, 12, mtime_s >> 33 ? 0 : mtime_s);
    b[AT_TYPE] = type;
    memcpy(b + AT_MAGIC,
           "ustar\0"
           "00",
           8);
    uint32_t sum = 8 * ' ';
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += b[i];
    put_octal(b + AT_CHECKSUM, 7, sum);
    b[AT_CHECKSUM + 7] = ' ';
}

/* "LEN KEY=VALUE\n", where LEN counts its own digits too. */
static int add_record(struct buf *out, const char *key, struct slice value)
{
    size_t body = 1 + strlen(key) + 1 + value.len + 1;
    size_t len = body + 1;
    char digits[20];
    while (body + dec_from_u64(len, digits) != len)
        len++;
    int rc = buf_addf(out, "%zu %s=", len, key);
    if (rc < 0 || (rc = buf_add_slice(out, value)) < 0)
        return rc;
    return buf_add_str(out, "\n");
}

static int add_zeros(struct buf *out, size_t n)
{
    static const uint8_t zeros[TAR_BLOCK];
    int rc = 0;
    for (; n && rc >= 0; n -= KT_MIN(n, sizeof(zeros)))
        rc = buf_add(out, zeros, KT_MIN(n, sizeof(zeros)));
    return rc;
}

static int add_pax(struct buf *out, struct slice name, uint64_t size)
{
    uint8_t b[TAR_BLOCK];
    struct buf rec = BUF_INIT(TAR_PAX_MAX);
    char digits[20];
    int rc = add_record(&rec, "path", name);
    if (rc >= 0 && size >> 33)
        rc = add_record(&rec, "size", slice_of(digits, dec_from_u64(size, digits)));
    if (rc >= 0) {
        fill_header(b, 'x', SLICE_LIT("PaxHeader"), rec.len, 0);
        rc = buf_add(out, b, sizeof(b));
    }
    if (rc >= 0 && (rc = buf_add_slice(out, buf_slice(&rec))) >= 0)
        rc = add_zeros(out, tar_padding(rec.len));
    buf_done(&rec);
    return rc;
}

int tar_write_header(struct buf *out, struct slice name, uint64_t size, uint64_t mtime_s)
{
    uint8_t b[TAR_BLOCK];
    if (name.len == 0 || name.len > TAR_NAME_MAX || slice_find(name, 0) >= 0)
        return err_set(KT_ERR_INVALID, "a tar name has 1..%u bytes and no NUL", TAR_NAME_MAX);
    bool plain = split_name(name) >= 0 && !(size >> 33);
    for (size_t i = 0; plain && i < name.len; i++)
        plain = name.p[i] < 0x80;
    int rc = plain ? 0 : add_pax(out, name, size);
    if (rc < 0)
        return rc;
    fill_header(b, '0', name, size, mtime_s);
    return buf_add(out, b, sizeof(b));
}

int tar_write_end(struct buf *out)
{
    return add_zeros(out, 2 * (size_t)TAR_BLOCK);
}
