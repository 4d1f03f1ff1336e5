/* Any bytes as a dead log: the scan's verdict holds together. Odd inputs get a chain that fits. */
#include "format/deadlog.h"
#include "fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_take(data, size);
    struct deadlog_head head;
    struct deadlog_scan scan;
    uint32_t chain = 99;
    fuzz_reseal_block(&in, 0);
    struct slice records = fuzz_slice(&in);
    if (deadlog_head_decode(records, &head, &chain) == 0)
        records = slice_sub(records, DEADLOG_START, records.len);
    if (in.reseal) { /* a valid chain over all but the records whose last byte is odd */
        uint32_t at = chain;
        for (size_t i = 0; i + DEADLOG_RECORD <= records.len; i += DEADLOG_RECORD) {
            uint8_t *rec = in.p + (records.p - in.p) + i;
            at = crc32c(at, rec, DEADLOG_RECORD - 4);
            if (!(rec[DEADLOG_RECORD - 1] & 1))
                store_u32le(rec + DEADLOG_RECORD - 4, at);
            at = load_u32le(rec + DEADLOG_RECORD - 4);
        }
    }
    deadlog_scan(records, chain, &scan);
    kt_assert((size_t)scan.records * DEADLOG_RECORD <= records.len);
    kt_assert((scan.verdict == DEADLOG_DAMAGED) == (scan.durable > scan.records));
    kt_assert((scan.verdict == DEADLOG_CLEAN) <=
              ((size_t)scan.records * DEADLOG_RECORD == records.len));
    free(in.p);
    return 0;
}
