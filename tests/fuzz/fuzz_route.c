/* route: any method and target. Input: a digit (the method), then the target. What parses is
 * bounded. */
#include "tests/fuzz/fuzz.h"

#include "gateway/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct route r;
    if (size == 0)
        return 0;
    uint8_t *copy = fuzz_copy(slice_of(data + 1, size - 1));
    struct slice path = slice_of(copy, size - 1), query = {0};
    ptrdiff_t mark = slice_find(path, '?');
    if (mark >= 0) {
        query = slice_sub(path, (size_t)mark + 1, path.len);
        path.len = (size_t)mark;
    }
    if (route_parse((enum h1_method)(data[0] % H1_METHOD_COUNT), path, query, &r) == 0) {
        kt_assert(r.op < OP_COUNT && r.text_len <= ROUTE_TEXT_MAX);
        kt_assert(memchr(r.name, 0, sizeof(r.name)) != NULL);
        for (int i = 0; i < PARAM_COUNT; i++)
            kt_assert(!r.param[i].p || (r.param[i].p >= r.text &&
                                        r.param[i].p + r.param[i].len <= r.text + r.text_len));
    }
    free(copy);
    return 0;
}
