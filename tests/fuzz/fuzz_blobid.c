/* What parses as a blob id formats back to exactly the same text. */
#include "format/blobid.h"
#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blobid id;
    char out[BLOBID_TEXT_MAX];
    if (blobid_parse(slice_of(data, size), &id) == 0) {
        size_t n = blobid_format(&id, out);
        kt_assert(n == size && memcmp(out, data, n) == 0);
    }
    return 0;
}
