/* tar: the reader takes any bytes; the verdict doesn't depend on how they are cut; an entry gives
 * exactly its size. */
#include "tests/fuzz/fuzz.h"

#include "codec/tar.h"

struct outcome {
    int rc;
    uint64_t entries, bytes, skipped;
};

static struct outcome read_all(struct slice in, size_t step)
{
    struct outcome o = {0};
    struct tar_reader *r = tar_reader_new();
    uint64_t left = 0;
    int ev = TAR_MORE;
    while (in.len && ev >= 0) {
        struct slice part = slice_sub(in, 0, step), data;
        size_t used;
        in = slice_sub(in, part.len, in.len);
        do {
            ev = tar_reader_next(r, part, &used, &data);
            kt_assert(used <= part.len);
            part = slice_sub(part, used, part.len);
            const struct tar_entry *e = tar_reader_entry(r);
            if (ev == TAR_ENTRY) {
                o.entries++;
                left = e->refused ? 0 : e->size;
                kt_assert(e->name_len <= TAR_NAME_MAX && e->name[e->name_len] == 0);
                kt_assert(e->refused || e->name_len > 0);
            } else if (ev == TAR_DATA) {
                kt_assert(data.len > 0 && data.len <= left);
                left -= data.len;
                o.bytes += data.len;
            } else if (ev == TAR_ENTRY_END) {
                kt_assert(left == 0);
            }
        } while (ev > TAR_MORE && ev != TAR_END);
    }
    o.rc = ev < 0 ? ev : tar_reader_finish(r);
    o.skipped = tar_reader_skipped(r);
    tar_reader_free(r);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct outcome whole = read_all(in, size + 1), cut = read_all(in, 7);
    kt_assert(whole.rc == cut.rc && whole.entries == cut.entries && whole.bytes == cut.bytes &&
              whole.skipped == cut.skipped);
    return 0;
}
