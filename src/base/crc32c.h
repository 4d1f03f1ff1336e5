/* crc32c: CRC-32C (Castagnoli, RFC 3720 appendix B.4), by ISA-L; 1 KiB takes about 45 ns.
 *
 * Values are the usual finalised ones: crc32c(0, "123456789") == 0xe3069283, and
 * crc32c(crc32c(0, A), B) == crc32c(0, AB). Pure, any thread. */
#ifndef KT_BASE_CRC32C_H
#define KT_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *p, size_t len);
/* The checksum of AB from those of A and B (each started at 0) and B's length, in O(log len_b). */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);

#endif
