/* FAULT_POINT(name, text) and PLANTED_BUG(name, text): every point that tests can switch. */
/* clang-format off */
FAULT_POINT(MEM_TRY_ALLOC, "mem_try_alloc returns NULL")

PLANTED_BUG(SKIP_FSYNC,      "a group is acknowledged without fdatasync")
PLANTED_BUG(SKIP_DIRFSYNC,   "a new file's directory entry is not synced")
PLANTED_BUG(ACK_BEFORE_SYNC, "a write is acknowledged before its group is on disk")
PLANTED_BUG(RETRY_FSYNC,     "a failed fdatasync is tried again instead of fencing")
PLANTED_BUG(DELETE_NO_SYNC,  "a dead mark is acknowledged without fdatasync")
PLANTED_BUG(CRC_DATA_ONLY,   "the needle header is not covered by its checksum")
PLANTED_BUG(SHORT_READ_EOF,  "a short read is taken for the end of the file")
PLANTED_BUG(TRUST_PAGE_CACHE,"recovery validates from the page cache")
