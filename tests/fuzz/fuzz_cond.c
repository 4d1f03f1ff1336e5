/* Conditions: the first byte picks method and target, the rest are field lines "name:value\n". */
#include "tests/fuzz/fuzz.h"

#include "codec/cond.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct h1_field fields[8];
    int n = 0;
    uint8_t *p = fuzz_copy(slice_of(data + 1, size - 1));
    struct slice rest = slice_of(p, size - 1);
    while (rest.len && n < 8) {
        ptrdiff_t lf = slice_find(rest, '\n');
        struct slice line = slice_sub(rest, 0, lf < 0 ? rest.len : (size_t)lf);
        rest = slice_sub(rest, line.len + 1, rest.len);
        ptrdiff_t colon = slice_find(line, ':');
        if (colon >= 0)
            fields[n++] = (struct h1_field){slice_sub(line, 0, (size_t)colon),
                                            slice_sub(line, (size_t)colon + 1, line.len)};
    }
    struct cond_target t = {
        .exists = data[0] & 1, .weak = data[0] & 2, .tag = SLICE_LIT("abc"), .mtime_s = 784111777};
    enum h1_method m = (enum h1_method)(data[0] >> 4 & 3);
    int rc = cond_evaluate(fields, n, m, &t, 1700000000);
    kt_assert(rc == 0 || rc == -KT_ERR_NOT_MODIFIED || rc == -KT_ERR_PRECONDITION ||
              rc == -KT_ERR_INVALID);
    kt_assert(rc != -KT_ERR_NOT_MODIFIED || (t.exists && (m == H1_GET || m == H1_HEAD)));
    bool allowed = cond_range_allowed(fields, n, &t, 1700000000);
    kt_assert(t.exists || !allowed || !h1_find(fields, n, "if-range"));
    free(p);
    return 0;
}
