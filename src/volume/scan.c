/* scan: happy path: the window holds the needle at `at`; decode (or verify) it and step over. When
 * it doesn't, one read fetches the next window, starting at `at`.
 *
 * Failure modes: a header or body that doesn't verify, or a needle that runs past the end, is
 * CORRUPT and the scanner stays where it is; a file that ends before the size it claimed is an
 * error, never taken for the end of the log (a short read would silently drop what follows). */
#include "volume/scan.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/enc.h"
#include "base/fault.h"
#include <inttypes.h>

#define SCAN_WINDOW (1u << 20)
#define SCAN_PAGE 4096u /* alignment of direct reads */

/* Makes the window hold `need` bytes; what it held is gone. */
static int window_grow(struct scanner *s, size_t need)
{
    if (need <= s->win_cap)
        return 0;
    size_t cap = (size_t)align_up(need, SCAN_PAGE);
    uint8_t *memory = mem_try_alloc(cap + SCAN_PAGE);
    if (!memory)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a scan window of %zu bytes", cap);
    mem_free(s->memory);
    s->memory = memory;
    s->win = memory + (SCAN_PAGE - (uintptr_t)memory % SCAN_PAGE) % SCAN_PAGE;
    s->win_cap = cap;
    s->win_len = 0;
    return 0;
}

int scan_open(struct scanner *s, int file, const struct needle_place *place, uint64_t from,
              uint64_t to, unsigned flags)
{
    kt_assert(from <= to && from % NEEDLE_ALIGN == 0);
    *s = (struct scanner){
        .file = file, .flags = flags, .place = *place, .at = from, .to = to, .win_at = from};
    return window_grow(
        s, (size_t)KT_MIN(align_up(to - from, SCAN_PAGE) + 2 * SCAN_PAGE, (uint64_t)SCAN_WINDOW));
}

void scan_done(struct scanner *s)
{
    mem_free(s->memory);
    s->memory = s->win = NULL;
    s->win_cap = s->win_len = 0;
}

/* Bytes of the window from `at` on. */
static struct slice window_rest(const struct scanner *s)
{
    if (s->at < s->win_at || s->at >= s->win_at + s->win_len)
        return (struct slice){NULL, 0};
    size_t skip = (size_t)(s->at - s->win_at);
    return slice_of(s->win + skip, s->win_len - skip);
}

/* Reads a window so that at least `need` bytes from `at` on are in it (at + need <= to). */
static int window_read(struct scanner *s, size_t need)
{
    uint64_t start = s->flags & SCAN_DIRECT ? s->at / SCAN_PAGE * SCAN_PAGE : s->at;
    size_t ahead = (size_t)(s->at - start);
    int rc = window_grow(s, ahead + need);
    if (rc < 0)
        return rc;
    size_t want = (size_t)KT_MIN((uint64_t)s->win_cap, s->to - start);
    size_t ask = s->flags & SCAN_DIRECT ? (size_t)align_up(want, SCAN_PAGE) : want;
    ssize_t got = rt_file_pread_some(s->file, s->win, KT_MIN(ask, s->win_cap), start);
    if (got < 0)
        return (int)got;
    rt_yield(); /* what the page cache holds is read without a pause, however long the log is */
    s->win_at = start;
    s->win_len = KT_MIN((size_t)got, want);
    s->read_bytes += s->win_len;
    if (s->win_len >= ahead + need)
        return 0;
    if (BUG(SHORT_READ_EOF)) {
        s->to = KT_MAX(s->at, start + s->win_len);
        return 0;
    }
    return err_set(KT_ERR_EOF, "file ends at %" PRIu64 ", expected %" PRIu64 " bytes",
                   start + s->win_len, s->to);
}

/* The window from `at` on, with at least `need` bytes. Errors: CORRUPT when that runs past the end.
 */
static int need_bytes(struct scanner *s, size_t need, struct slice *ret)
{
    if (need > s->to - s->at)
        return err_set(KT_ERR_CORRUPT, "needle at offset %" PRIu64 " runs past the end %" PRIu64,
                       s->at, s->to);
    *ret = window_rest(s);
    if (ret->len >= need)
        return 0;
    int rc = window_read(s, need);
    if (rc < 0)
        return rc;
    *ret = window_rest(s);
    if (ret->len < need)
        return err_set(KT_ERR_CORRUPT, "needle at offset %" PRIu64 " is cut short", s->at);
    return 0;
}

/* The verified header at `at`, and the window that holds header and meta. */
static int scan_head(struct scanner *s, struct needle_info *ret, struct slice *ret_in)
{
    struct slice in;
    int rc = need_bytes(s, NEEDLE_HEADER, &in);
    if (rc < 0)
        return rc;
    uint32_t head = needle_head_len(in);
    if (head > NEEDLE_HEADER + NEEDLE_META_MAX)
        return err_set(KT_ERR_CORRUPT, "no needle at offset %" PRIu64, s->at);
    rc = need_bytes(s, head, &in);
    if (rc < 0)
        return rc;
    rc = needle_decode(in, s->at, &s->place, ret);
    if (rc < 0)
        return rc;
    if (needle_size(ret->data_len, ret->meta_len) > s->to - s->at)
        return err_set(KT_ERR_CORRUPT, "needle at offset %" PRIu64 " runs past the end %" PRIu64,
                       s->at, s->to);
    *ret_in = in;
    return 0;
}

int scan_next(struct scanner *s, struct needle_info *ret, struct slice *ret_bytes)
{
    if (s->at >= s->to)
        return 0;
    struct slice in;
    int rc = scan_head(s, ret, &in);
    if (rc < 0)
        return s->at >= s->to ? 0 : rc;
    uint64_t size = needle_size(ret->data_len, ret->meta_len);
    size_t bytes = NEEDLE_HEADER + (size_t)ret->meta_len;
    if (s->flags & SCAN_VERIFY) {
        bytes = (size_t)size;
        rc = need_bytes(s, bytes, &in);
        if (rc == 0)
            rc = needle_verify(slice_sub(in, 0, bytes), s->at, &s->place, ret);
        if (rc < 0)
            return rc;
    }
    if (ret_bytes)
        *ret_bytes = slice_sub(in, 0, bytes);
    s->at += size;
    return 1;
}

/* What a glance at a raw header can rule out before its checksum is computed. */
static bool plausible(const uint8_t *p)
{
    return load_u32le(p + 24) <= NEEDLE_DATA_MAX && load_u16le(p + 28) <= NEEDLE_META_MAX &&
           p[30] != 0 && p[30] <= NEEDLE_MARK;
}

int scan_blind(struct scanner *s, struct needle_info *ret)
{
    struct slice in;
    for (s->at += NEEDLE_ALIGN; s->at + NEEDLE_HEADER <= s->to; s->at += NEEDLE_ALIGN) {
        int rc = need_bytes(s, NEEDLE_HEADER, &in);
        if (rc < 0)
            return rc;
        if (!plausible(in.p))
            continue;
        rc = scan_head(s, ret, &in);
        if (rc == 0)
            return 1;
        if (rc != -KT_ERR_CORRUPT)
            return rc;
    }
    s->at = s->to;
    return 0;
}
